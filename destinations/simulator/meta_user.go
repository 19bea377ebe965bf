package simulator

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// hashedKeys hold SHA-256 in lower-case hex, perhaps with a library's appendix. external_id may be
// plain.
var hashedKeys = []string{"em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country", "f5first", "f5last", "fi", "dobd", "dobm", "doby"}

var plainKeys = []string{
	"external_id", "client_ip_address", "client_user_agent", "fbc", "fbp", "subscription_id", "fb_login_id", "lead_id", "anon_id", "madid",
	"page_id", "page_scoped_user_id", "ctwa_clid", "ig_account_id", "ig_sid", "instagram_business_account_id", "whatsapp_business_account_id",
	"partner_id", "partner_name",
}

// insufficientSets are refused when user_data holds nothing else.
var insufficientSets = [][]string{
	{"ct", "country", "st", "zp", "ge", "client_user_agent"},
	{"db", "client_user_agent"},
	{"fn", "ge"},
	{"ln", "ge"},
}

var (
	leadShape = regexp.MustCompile(`^\d{15,17}$`)
	emptyHash = hashHex("")
)

func (e *metaEvent) checkUser() *metaError {
	var usable []string
	for key, value := range e.user {
		switch {
		case slices.Contains(hashedKeys, key):
			hashes, refused := hashList(key, value)
			if refused != nil {
				return refused
			}
			if len(hashes) > 0 {
				usable = append(usable, key)
			}
			for _, h := range hashes {
				if h == emptyHash {
					e.warn("%s holds the hash of the empty text", key)
				}
				if len(h) == 32 {
					e.warn("%s holds an MD5, which finds nobody", key)
				}
			}
		case key == "lead_id":
			n, ok := number(value)
			if !ok || !leadShape.MatchString(n.String()) {
				return metaInvalid("user_data.lead_id", "lead_id must be a number of 15 to 17 digits")
			}
			usable = append(usable, key)
		case key == "client_ip_address":
			if refused := e.checkIP(value); refused != nil {
				return refused
			}
			usable = append(usable, key)
		case slices.Contains(plainKeys, key):
			if refused := plainValue(key, value); refused != nil {
				return refused
			}
			usable = append(usable, key)
		default:
			e.warn("user_data.%s is no key that Meta lists", key)
		}
	}
	slices.Sort(e.warnings) // user_data is a map: keep the warnings' order the same
	for _, set := range insufficientSets {
		if !slices.ContainsFunc(usable, func(k string) bool { return !slices.Contains(set, k) }) {
			return &metaError{status: http.StatusBadRequest, code: 100, subcode: 2804050, message: "Invalid parameter", title: "You Haven't Added Sufficient Customer Information Parameter Data For This Event",
				text: "This event needs more, or other, customer information parameters.", blame: "user_data"}
		}
	}
	return nil
}

// plainValue refuses what is no text: only external_id may be a list, and two ids may be numbers.
func plainValue(key string, value any) *metaError {
	list, ok := value.([]any)
	if !ok || key != "external_id" {
		list = []any{value}
	}
	for _, v := range list {
		switch t := v.(type) {
		case string:
			if t != "" {
				continue
			}
		case json.Number:
			if key == "fb_login_id" || key == "external_id" || key == "subscription_id" {
				continue
			}
		}
		return metaInvalid("user_data."+key, "user_data."+key+" must be a string")
	}
	return nil
}

func (e *metaEvent) checkIP(v any) *metaError {
	text, _ := v.(string)
	base, appendix := text, ""
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.IsPrivate() || addr.IsLoopback() {
			e.warn("client_ip_address is private")
		}
		return nil
	}
	if i := strings.LastIndexByte(text, '.'); i > 0 {
		base, appendix = text[:i], text[i+1:]
	}
	if _, err := netip.ParseAddr(base); err != nil || !validAppendix(appendix) {
		return metaInvalid("user_data.client_ip_address", "client_ip_address is not an IP address")
	}
	return nil
}

// hashAt reads a hash with or without a library's appendix: 64 lower-case hex digits, or the
// 32 of an MD5, which Meta's own library takes for hashed too.
func hashAt(text string) (hash string, ok bool) {
	hash, appendix, found := strings.Cut(text, ".")
	if len(hash) != 64 && len(hash) != 32 || found && len(appendix) != 2 && len(appendix) != 8 {
		return "", false
	}
	for i := range len(hash) {
		if c := hash[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return "", false
		}
	}
	for i := range len(appendix) {
		c := appendix[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_') {
			return "", false
		}
	}
	return hash, true
}

// hashList reads a hashed key's value: one text or a list of texts.
func hashList(key string, value any) ([]string, *metaError) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		if v == nil && ok {
			continue
		}
		text, _ := v.(string)
		hash, ok := hashAt(text)
		if !ok {
			return nil, metaInvalid("user_data."+key, "user_data."+key+" must be hashed with SHA-256, in lower-case hex")
		}
		out = append(out, hash)
	}
	return out, nil
}
