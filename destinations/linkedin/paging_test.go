package linkedin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"tributary/destinations"
)

// longest is what delivery reads of an answer.
const longest = 1 << 20

// paged answers with rules, each with so many campaigns, and cuts what is too long to be read.
func paged(rules, campaigns int, asked *int) destinations.Caller {
	return func(_ context.Context, q destinations.Request) (destinations.Response, error) {
		*asked++
		v, err := url.ParseQuery(q.RawQuery)
		if err != nil {
			return destinations.Response{}, err
		}
		start, _ := strconv.Atoi(v.Get("start"))
		count, _ := strconv.Atoi(v.Get("count"))
		var elements []string
		for id := start + 1; id <= min(rules, start+count); id++ {
			var ties []string
			for c := range campaigns {
				ties = append(ties, fmt.Sprintf(`{"campaign":"urn:li:sponsoredCampaign:%d","conversion":"urn:lla:llaPartnerConversion:%d"}`, 100_000_000+c, id))
			}
			elements = append(elements, fmt.Sprintf(`{"id":%d,"conversionMethod":"CONVERSIONS_API","enabled":true,"associatedCampaigns":[%s]}`, id, strings.Join(ties, ",")))
		}
		body := `{"elements":[` + strings.Join(elements, ",") + `]}`
		return destinations.Response{Status: http.StatusOK, Body: []byte(body[:min(len(body), longest)])}, nil
	}
}

// An account whose rules are attached to hundreds of campaigns fills more than is read of an
// answer: its lane must learn its rules all the same.
func TestPagesTooLongToBeRead(t *testing.T) {
	d := configured(t, "ad_account: 512345678\nrules: {first: 1, last: 130}\n")
	asked := 0
	_, findings, err := d.Learn(t.Context(), paged(130, 300, &asked))
	if err != nil || len(findings) != 2 || findings[0].Problem+findings[1].Problem != "" {
		t.Fatalf("%+v, %v", findings, err)
	}
	if asked > 30 {
		t.Errorf("asked %d times", asked)
	}
	if _, _, err := d.Learn(t.Context(), paged(1, 20_000, &asked)); err == nil {
		t.Error("one rule that cannot be read is taken for none")
	}
}

// A list that never ends is an error, not a loop.
func TestListsThatDoNotEnd(t *testing.T) {
	d := configured(t, "ad_account: 512345678\nrules: {first: 1}\narrange: {campaigns: all}\n")
	asked := 0
	if _, _, err := d.Learn(t.Context(), paged(1<<30, 0, &asked)); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("rules: %v", err)
	}
	token := 0
	a := arranging{destination: d, ctx: t.Context(), call: func(context.Context, destinations.Request) (destinations.Response, error) {
		token++
		return destinations.Response{Status: http.StatusOK, Body: fmt.Appendf(nil, `{"elements":[%s{"id":1}],"metadata":{"nextPageToken":"%d"}}`, strings.Repeat(`{"id":2},`, 99), token)}, nil
	}}
	if err := a.findCampaigns(); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("campaigns: %v", err)
	}
}
