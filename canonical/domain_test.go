package canonical

import "testing"

func TestRegistrableDomain(t *testing.T) {
	for in, want := range map[string]string{
		"acme.example":                           "acme.example",
		"https://WWW.Acme.example/about":         "acme.example",
		"mail.eu.acme.example":                   "acme.example",
		"mail.eu.acme.co.uk":                     "acme.co.uk",
		"acme.co.uk":                             "acme.co.uk",
		"acme.com.":                              "acme.com",
		"acme.github.io":                         "acme.github.io",
		"shop.acme.myshopify.com":                "acme.myshopify.com",
		"sub.müller.de":                          "müller.de",
		"sub.xn--mller-kva.de":                   "xn--mller-kva.de",
		"co.uk":                                  "",
		"github.io":                              "",
		"com":                                    "",
		"localhost":                              "",
		"10.0.0.1":                               "",
		"203.0.113.9":                            "",
		"[2001:db8::1]":                          "",
		"acme.example:8080":                      "",
		"a..example":                             "",
		".acme.example":                          "",
		"":                                       "",
		"nobody@acme.example":                    "",
		"acme.123":                               "",
		"city.kawasaki.jp":                       "city.kawasaki.jp",
		"www.city.kawasaki.jp":                   "city.kawasaki.jp",
		"acme.kawasaki.jp":                       "",
		"host.acme.kawasaki.jp":                  "host.acme.kawasaki.jp",
		"deep.er.acme.compute.amazonaws.com":     "er.acme.compute.amazonaws.com",
		"marketing.acme.xn--55qx5d.cn":           "acme.xn--55qx5d.cn",
		"marketing.acme.公司.cn":                   "acme.公司.cn",
		"a.very.long.chain.of.names.example.org": "example.org",
	} {
		if got := RegistrableDomain(in); got != want {
			t.Errorf("RegistrableDomain(%q) = %q, want %q", in, got, want)
		}
		if got := RegistrableDomain(want); got != want {
			t.Errorf("RegistrableDomain(%q) = %q: not the same again", want, got)
		}
	}
}

func TestCompanyDomain(t *testing.T) {
	for in, want := range map[string]string{
		"mail.acme.example":        "acme.example",
		"gmail.com":                "",
		"mail.gmail.com":           "",
		"privaterelay.appleid.com": "",
		"yahoo.co.uk":              "",
		"co.uk":                    "",
		"10.0.0.1":                 "",
	} {
		if got := CompanyDomain(in); got != want {
			t.Errorf("CompanyDomain(%q) = %q, want %q", in, got, want)
		}
	}
	for d := range freeMail {
		if got := CompanyDomain(d); got != "" {
			t.Errorf("the provider %s is the company %s", d, got)
		}
	}
}
