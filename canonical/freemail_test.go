package canonical

import "testing"

func TestFreeMail(t *testing.T) {
	for domain, want := range map[string]bool{
		"gmail.com": true, "GMail.com": true, " gmx.net. ": true, "yahoo.co.uk": true, "mailinator.com": true, "qq.com": true,
		"example.com": false, "mail.example.com": false, "notgmail.com": false, "gmail.com.example.test": false, "": false, "com": false,
	} {
		if got := FreeMail(domain); got != want {
			t.Errorf("FreeMail(%q) = %v, want %v", domain, got, want)
		}
	}
	if len(freeMail) < 100 {
		t.Errorf("only %d free-mail domains", len(freeMail))
	}
	for d := range freeMail {
		if NormalDomain(d) != d {
			t.Errorf("%q is not in normal form", d)
		}
	}
}

func TestSharedMailbox(t *testing.T) {
	for address, want := range map[string]bool{
		"info@example.com": true, " Sales+emea@Example.com": true, "no-reply@example.test": true, "test@example.com": true,
		"ada.byron@example.com": false, "information.desk@example.com": false, "info": false, "": false,
	} {
		if got := SharedMailbox(address); got != want {
			t.Errorf("SharedMailbox(%q) = %v, want %v", address, got, want)
		}
	}
}
