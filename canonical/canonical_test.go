package canonical

import (
	"encoding/json"
	"testing"
	"time"
)

func TestMintedIDsEqualTheGuide(t *testing.T) {
	got := MintContactID("102948", "marketingqualifiedlead", "2026-04-23T11:04:19Z")
	if want := EventID("27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff"); got != want {
		t.Errorf("contact id %s, want %s", got, want)
	}
	if got, want := MintDealID("84721", "contractsent", "2026-04-23T11:04:19Z"), EventID("deal_84721_contractsent_2026-04-23T11:04:19Z"); got != want {
		t.Errorf("deal id %s, want %s", got, want)
	}
	if MintContactID("a b", "c", "t") == MintContactID("a", "b c", "t") {
		t.Error("parts run into each other")
	}
	if MintContactID("a:b", "c", "t") == MintContactID("a", "b:c", "t") {
		t.Error("colons run into each other")
	}
}

func TestHashesEqualTheSheets(t *testing.T) {
	for in, want := range map[string]string{
		" Ada.Byron@Example.COM ":      "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e",
		"a.b+crm@gmail.com":            "9645de50be2049ada6691bdd1b8d88f4c413885ca8f66c33e4080d6e605a636e",
		"  Kim.Lee+News@Example.ORG ":  "1d3adf982686025d73179b5464e022275c185a0b953e1ad5958a9454381140ac",
		"no address":                   "",
		"":                             "",
		"two@at@example.com":           "",
		"A d a . Byron @ Example.com ": "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e",
	} {
		if got := EmailHash(in); got != want {
			t.Errorf("EmailHash(%q) = %s, want %s", in, got, want)
		}
	}
	for _, c := range []struct{ in, region, want string }{
		{"+1 (415) 555-0134", "", "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3"},
		{"(415) 555 0134", "US", "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3"},
		{"+49 (0)30 901820", "", "c03f76216358b07b09a300613908002987efc1ae9a2ef2a85d57d5a971bf821a"},
		{"+81 3-1234-5678", "", "62c407a403882b2b8611b5e7771a63fb7883984e4e25393e1ae4d218f5514610"},
		{"12", "US", ""},
		{"call me", "US", ""},
	} {
		if got := PhoneHash(c.in, c.region); got != c.want {
			t.Errorf("PhoneHash(%q, %q) = %s, want %s", c.in, c.region, got, c.want)
		}
	}
}

func TestMoneyIsExact(t *testing.T) {
	for in, want := range map[string]string{"36000": "36000", `"1490.50"`: "1490.5", "0": "0", "0.000001": "0.000001", "-3": "-3", "1e3": "1000"} {
		var m Money
		if err := json.Unmarshal([]byte(in), &m); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		out, _ := json.Marshal(m)
		if string(out) != want {
			t.Errorf("%s became %s, want %s", in, out, want)
		}
	}
	for _, in := range []string{`"1,000"`, `"$5"`, `""`, "0.0000001", "1e40", "true"} {
		var m Money
		if err := json.Unmarshal([]byte(in), &m); err == nil {
			t.Errorf("%s was read as %s", in, m)
		}
	}
	for m, want := range map[Money]string{36000000000: "36000.00", 1490500000: "1490.50", 1: "0.000001"} {
		if got := m.Fixed(); got != want {
			t.Errorf("Fixed = %s, want %s", got, want)
		}
	}
}

func TestNodesAreStableAndDelimited(t *testing.T) {
	a := Identifier{Scheme: Email, Value: "ab"}.Node()
	if a != (Identifier{Scheme: Email, Value: "ab", Seen: time.Unix(1, 0)}).Node() {
		t.Error("a node depends on when it was seen")
	}
	if a == (Identifier{Scheme: "emaila", Value: "b"}).Node() {
		t.Error("scheme and value run into each other")
	}
	b, _ := a.MarshalText()
	var back NodeID
	if err := back.UnmarshalText(b); err != nil || back != a {
		t.Errorf("%s came back as %s (%v)", a, back, err)
	}
}
