package canonical

import (
	"strings"
	"testing"
)

func TestPatternsOfAddresses(t *testing.T) {
	for pattern, like := range map[string]map[string]bool{
		"*@test.com":    {"jo@test.com": true, " Jo@TEST.com": true, "jo@mail.test.com": false, "jo@test.com.example": false, "test.com": false, "": false},
		"*@*.test.com":  {"jo@mail.test.com": true, "jo@test.com": false},
		"noreply*@*":    {"noreply@acme.example": true, "NoReply+7@acme.example": true, "jo.noreply@acme.example": false},
		"*@Acme.*":      {"jo@acme.example": true, "jo@acme.co.uk": true, "jo@acme2.example": false},
		"a*b*c@d.e*":    {"abc@d.e": true, "axxbxxc@d.example": true, "acb@d.e": false, "abc@d": false},
		"*aa*aa@ex.com": {"aaaa@ex.com": true, "aaa@ex.com": false},
	} {
		l := NewLists([]string{pattern}, nil, nil)
		for address, want := range like {
			if got := l.NeverLinks(address); got != want {
				t.Errorf("%q like %q is %v", address, pattern, got)
			}
		}
	}
}

func TestListsAddToTheBuiltInOnes(t *testing.T) {
	l := NewLists(nil, []string{"FrontDesk"}, []string{"Mail.Example.com", "freebie.example"})
	for address, want := range map[string]bool{"frontdesk@acme.example": true, "FRONTDESK+9@acme.example": true, "info@acme.example": true, "desk.front@acme.example": false, "frontdesk": false} {
		if got := l.SharedMailbox(address); got != want {
			t.Errorf("a shared mailbox: %q is %v", address, got)
		}
		if none := (*Lists)(nil); none.SharedMailbox(address) != strings.HasPrefix(address, "info") {
			t.Errorf("without lists %q is %v", address, none.SharedMailbox(address))
		}
	}
	for domain, want := range map[string]string{
		"https://www.acme.example/": "acme.example", "gmail.com": "", "freebie.example": "", "eu.freebie.example": "", "mail.example.com": "", "eu.mail.example.com": "", "shop.example.com": "example.com",
	} {
		if got := l.CompanyDomain(domain); got != want {
			t.Errorf("the company domain of %q is %q, want %q", domain, got, want)
		}
	}
}

func TestEqualListsHaveOneHash(t *testing.T) {
	a := NewLists([]string{"*@a.example", "*@B.example"}, []string{"x", "y"}, []string{"one.example"})
	b := NewLists([]string{"*@b.example", "*@a.example", "*@a.example"}, []string{"Y", "x"}, []string{"one.example."})
	if a.Hash() != b.Hash() || a.Hash() == "" {
		t.Errorf("%q and %q", a.Hash(), b.Hash())
	}
	for _, other := range []*Lists{nil, NewLists([]string{"x", "y"}, nil, nil), NewLists(nil, []string{"x", "y"}, nil), NewLists(nil, nil, []string{"x", "y"})} {
		if other.Hash() == a.Hash() {
			t.Errorf("%+v has the hash of others", other)
		}
	}
	if NewLists(nil, nil, nil) != nil || (*Lists)(nil).Hash() != "" {
		t.Error("no lists are something")
	}
}
