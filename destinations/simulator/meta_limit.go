package simulator

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

// A metaLimit is one of Meta's limits on calls: how it refuses, and where it tells its use.
type metaLimit struct {
	name          string
	window        rolling
	code, subcode int
	message       string
	header        string
	tell          func(percent, minutes int) string
}

func newMetaLimits(a MetaAccount) []*metaLimit {
	var out []*metaLimit
	for _, l := range []metaLimit{
		{name: "hour", window: rolling{most: a.HourlyCalls}, code: 4, subcode: 1504022, message: "Application request limit reached", header: "X-App-Usage",
			tell: func(percent, _ int) string {
				return fmt.Sprintf(`{"call_count":%d,"total_cputime":0,"total_time":0}`, percent)
			}},
		{name: "account_hour", window: rolling{most: a.AccountCalls}, code: 17, subcode: 2446079, message: "User request limit reached", header: "X-Ad-Account-Usage",
			tell: func(percent, _ int) string { return fmt.Sprintf(`{"acc_id_util_pct":%d}`, percent) }},
		{name: "business_hour", window: rolling{most: a.BusinessCalls}, code: 80004, message: "There have been too many calls to this ad-account", header: "X-Business-Use-Case-Usage",
			tell: func(percent, minutes int) string {
				return fmt.Sprintf(`{"9001":[{"type":"ads_management","call_count":%d,"total_cputime":0,"total_time":0,"estimated_time_to_regain_access":%d}]}`, percent, minutes)
			}},
	} {
		if l.window.most > 0 {
			l.window.span = time.Hour
			out = append(out, &l)
		}
	}
	return out
}

// call takes one call from every limit, or says which of them is used up. A call that is
// refused counts for none.
func (m *metaServer) call(now time.Time) *metaError {
	for _, l := range m.limits {
		if l.window.used(now) >= l.window.most {
			return &metaError{status: http.StatusBadRequest, code: l.code, subcode: l.subcode, message: fmt.Sprintf("(#%d) %s", l.code, l.message),
				title: l.message, text: "There have been too many calls. Wait a bit and try again.", transient: true, limit: true}
		}
	}
	for _, l := range m.limits {
		l.window.take(now)
	}
	return nil
}

// tell adds the usage headers.
func (m *metaServer) tell(a answer, now time.Time) answer {
	for _, l := range m.limits {
		used, minutes := l.window.used(now), 0
		if used >= l.window.most {
			minutes = int(math.Ceil(l.window.taken[0].Add(time.Hour).Sub(now).Minutes()))
		}
		a = a.with(l.header, l.tell(100*used/l.window.most, minutes))
	}
	return a
}

func (m *metaServer) windows(now time.Time) []Window {
	var out []Window
	for _, l := range m.limits {
		out = append(out, Window{Name: l.name, Limit: l.window.most, Used: l.window.used(now)})
	}
	return out
}

// metaTokens are the states of a token that is known and does not work.
var metaTokens = map[string]metaError{
	"expired":       {status: http.StatusUnauthorized, code: 190, subcode: 463, message: "Error validating access token: Session has expired."},
	"revoked":       {status: http.StatusUnauthorized, code: 190, subcode: 460, message: "Error validating access token: The session has been invalidated because the user changed their password."},
	"app_removed":   {status: http.StatusUnauthorized, code: 190, subcode: 458, message: "Error validating access token: The user has not authorized application."},
	"checkpoint":    {status: http.StatusUnauthorized, code: 190, subcode: 459, message: "Error validating access token: You cannot access the app till you log in and follow the instructions given."},
	"invalid":       {status: http.StatusUnauthorized, code: 190, subcode: 467, message: "Error validating access token: This may be because the user logged out."},
	"no_permission": {status: http.StatusForbidden, code: 200, message: "(#200) Provide valid app ID or grant ads_management"},
	"no_app":        {status: http.StatusBadRequest, code: 3, message: "(#3) Application does not have the capability to make this API call."},
}

// tokenState refuses a token that Tokens says something of.
func (m *metaServer) tokenState(token string) *metaError {
	if e, ok := metaTokens[m.account.Tokens[token]]; ok {
		return &e
	}
	return nil
}

// metaDedup is how long Meta knows an event's name and id again.
const metaDedup = 48 * time.Hour

// metaFirsts remembers when each event came first, the last million of them at most.
type metaFirsts struct {
	at, before map[string]time.Time
}

// copy says whether the like of an event was counted within the last 48 hours, and
// remembers one that was not. "" is like none.
func (f *metaFirsts) copy(key string, now time.Time) bool {
	if key == "" {
		return false
	}
	first, ok := f.at[key]
	if !ok {
		first, ok = f.before[key]
	}
	if ok && now.Sub(first) <= metaDedup {
		return true
	}
	if len(f.at) >= 500_000 {
		f.at, f.before = make(map[string]time.Time), f.at
	}
	f.at[key] = now
	return false
}

// relearn remembers what an earlier process took.
func (m *metaServer) relearn(r Received) { m.firsts.copy(r.key(), r.At) }
