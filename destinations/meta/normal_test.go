package meta

import (
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

// The check vectors of meta.md §2.7, and its column "should" in §2.1 and §2.6.
func TestVectors(t *testing.T) {
	phone := normalPhone
	birth := func(s string) string { return canonical.NormalBirthDate(s, destinationtest.Noon) }
	city := normalCity(cityLibrary)
	for _, c := range []struct {
		key    string // with the sheet's section where it is not 2.7
		normal func(string) string
		in     string
		want   string
		hash   string
	}{
		{"em", normalEmail, "  Kim.Lee+News@Example.ORG ", "kim.lee+news@example.org", "1d3adf982686025d73179b5464e022275c185a0b953e1ad5958a9454381140ac"},
		{"ph", phone(""), "+1 (415) 555-0134", "14155550134", "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3"},
		{"ph", phone("US"), "(415) 555 0134", "14155550134", "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3"},
		{"ph", phone(""), "+49 (0)30 901820", "4930901820", "c03f76216358b07b09a300613908002987efc1ae9a2ef2a85d57d5a971bf821a"},
		{"ph", phone(""), "+81 3-1234-5678", "81312345678", "62c407a403882b2b8611b5e7771a63fb7883984e4e25393e1ae4d218f5514610"},
		{"fn", canonical.NormalName, "  Renée ", "renée", "c40ff11aec12e899a09b7b0067b74c8006e2042a880a9e04bbed42bc9d2506e3"},
		{"ln", canonical.NormalName, "Van-Dyke", "vandyke", "702cf5953f16ba99be933b4728b224988df800750430138c37590394ca2f5ee1"},
		{"fn", canonical.NormalName, "민지", "민지", "1475001d1abb7d41064af695fd1420803699ac5ca718787f7dbeb00dd0be58ce"},
		{"ct", city, "Salt Lake City", "saltlakecity", "205277ab6c7709978b537002f928626ad2b763ebf39b90c9b7d2049b41750e11"},
		{"ct", city, "Winston-Salem", "winstonsalem", "9e54909cf7a66751ffbdfb4f79635e6d36de413d76f86c5ef42cb8b697662751"},
		{"st", normalState(""), "Nevada", "nv", "b3c51f8a64fa28ac50ec1233d1178413cc04536d4ae21bb290ffc8d053074456"},
		{"st", normalState("US"), "NV", "nv", "b3c51f8a64fa28ac50ec1233d1178413cc04536d4ae21bb290ffc8d053074456"},
		{"zp", normalZip(""), "89101-4402", "89101", "e38054c008dbbc9995ea8ec7ff5f604179b67a8792375b2eaaabad9334465256"},
		{"zp", normalZip("GB"), "EC1A 1BB", "ec1a1bb", "636efa87fe7d1f12f2755e36182415f38a6c589471a98aeb88f0f8af7a03a6b2"},
		{"country", normalCountry, "DE", "de", "959a45d44e6fcf58361ed004681556fe50129f2109e817dec098c00c9e5d2578"},
		{"country", normalCountry, "Germany", "de", "959a45d44e6fcf58361ed004681556fe50129f2109e817dec098c00c9e5d2578"},
		{"db", birth, "1988-11-05", "19881105", "6ee2c6add7eb3581ba73b117a56b06c2a80c8299dd747323fd944f6d24b0da45"},
		{"ge", canonical.NormalGender, "Female", "f", "252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111"},
		{"external_id", normalExternalID, "HS-00042", "hs-00042", "d4727908d7c86e5dbe47b090b96cdb7d5b462d94902a1385024f281b325ab71e"},

		// §2.5, validated, and refused where day and month could be either
		{"db 2.5", birth, "19881105", "19881105", ""},
		{"db 2.5", birth, "1997-13-01", "19970113", ""},
		{"db 2.5", birth, "25.12.1988", "19881225", ""},
		{"db 2.5", birth, "12/25/1988", "19881225", ""},
		{"db 2.5", birth, "05/05/1997", "19970505", ""},
		{"db 2.5", birth, "01/02/1997", "", ""},
		{"db 2.6", birth, "05.11.1988", "", ""},
		{"db 2.5", birth, "02161997", "", ""},
		{"db 2.5", birth, "5 November 1988", "", ""},
		{"db 2.5", birth, "05/11/88", "", ""},
		{"db 2.5", birth, "1988-02-30", "", ""},
		{"db 2.1", birth, "1899-12-31", "", ""},
		{"db 2.1", birth, "2027-01-01", "", ""},
		{"ge 2.6", canonical.NormalGender, " M ", "m", ""},
		{"ge 2.6", canonical.NormalGender, "mr", "", ""},

		// §2.6, as column "should" has it
		{"ph", phone(""), "0049 30 901820", "4930901820", ""},
		{"ph", phone("US"), "(415) 555 0134 ext. 12", "14155550134", ""},
		{"ph", phone(""), "555", "", ""},
		{"fn", canonical.NormalName, "Mary-Jo", "maryjo", ""},
		{"ln", canonical.NormalName, "de la Cruz", "delacruz", ""},
		{"ln", canonical.NormalName, "O\u2019Neill", "oneill", ""},
		{"fn", canonical.NormalName, "Rene\u0301e", "renée", ""},
		{"fn", canonical.NormalName, " - ", "", ""},
		{"ct", city, "Málaga", "mlaga", ""},
		{"ct", normalCity(cityWritten), "Málaga", "málaga", ""},
		{"ct", city, "29 Palms", "", ""},
		{"st", normalState("DE"), "Bayern", "bayern", ""},
		{"st", normalState("AU"), "New South Wales", "newsouthwales", ""},
		{"st", normalState("CA"), "British Columbia", "bc", ""},
		{"st", normalState("DE"), "Nevada", "nevada", ""},
		{"zp", normalZip("US"), "891014402", "89101", ""},
		{"zp", normalZip("PL"), "00-950", "00950", ""},
		{"zp", normalZip("US"), "1", "", ""},
		{"country", normalCountry, "USA", "us", ""},
		{"country", normalCountry, "UK", "gb", ""},
		{"country", normalCountry, "UAE", "ae", ""},
		{"country", normalCountry, "Great Britain", "gb", ""},
		{"country", normalCountry, "The Netherlands", "nl", ""},
		{"country", normalCountry, "Narnia", "", ""},
		{"country", normalCountry, "Germany ", "de", ""},
		{"country", normalCountry, "DEU", "de", ""},
		{"zp", normalZip(""), "EC1A 1BB", "ec1a1bb", ""},
		{"ct", city, "São Paulo", "sopaulo", ""},
		{"ph", phone("DE"), "030 901820", "4930901820", ""},
		{"ph", phone("GB"), "020 7946 0958", "442079460958", ""},
		{"ph", phone("FR"), "01 23 45 67 89", "33123456789", ""},
		{"ph", phone("BR"), "(11) 91234-5678", "5511912345678", ""},
		{"ph", phone("IT"), "06 1234 5678", "390612345678", ""},
		{"ph", phone(""), "00 44 20 7946 0958", "442079460958", ""},
		{"ph", phone(""), "030 901820", "", ""},
		{"ph", phone("DE"), "call me", "", ""},
		{"em", normalEmail, "kim@example", "", ""},
		{"em", normalEmail, "kim@@example.org", "", ""},
		{"em", normalEmail, "kim@example..org", "", ""},
		{"em", normalEmail, "Kim\t@Example.org", "kim@example.org", ""},
		{"em", normalEmail, "kim@münchen.example", "", ""},
		{"em", normalEmail, "not an address", "", ""},
		{"em", normalEmail, "zoë@example.com", "", ""},
	} {
		if got := c.normal(c.in); got != c.want {
			t.Errorf("%s %q is normalised to %q, want %q", c.key, c.in, got, c.want)
		}
		got := hashOf(c.in, c.normal)
		if c.want == "" && got != "" {
			t.Errorf("%s %q: nothing is left, and yet it was hashed", c.key, c.in)
		}
		if c.hash != "" && got != c.hash {
			t.Errorf("%s %q has hash %s, want %s", c.key, c.in, got, c.hash)
		}
	}
}

// hashOf gives what is sent of one value.
func hashOf(given string, normal func(string) string) string {
	var p person
	p.hash(keyFirstName, given, normal)
	if len(p.values) == 0 {
		return ""
	}
	return p.values[0].text
}

func TestHashedIsRecognised(t *testing.T) {
	h := strings.Repeat("0f", 32)
	for in, want := range map[string]string{
		h: h, strings.ToUpper(h): h, " " + h + "\n": h, h[:32]: h[:32],
		h + ".AQ": h + ".AQ", strings.ToUpper(h) + ".AQQCAQMC": h + ".AQQCAQMC",
		h + ".A": "", h + "0": "", h[:40]: "", "": "", h + ".AQQCAQMC.AQ": "",
	} {
		got, ok := hashed(in)
		if got != want || ok != (want != "") {
			t.Errorf("hashed(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestCookies(t *testing.T) {
	for in, valid := range map[string]bool{
		"fb.1.1788000000000.IwAR0_a-b": true, "fb.1.1788000000000.IwAR0.AQ": true, "fb.2.1788000000000.1234.AQYCAQMA": true,
		"fb.1.1788000000000.IwAR0.xyz": false, "fb.1.1788000000000": false, "fb.1..IwAR0": false, "ga.1.1788000000000.x": false,
		"fb.1.1788000000000.": false, "fb.1.1788000000000.a b": false, "": false,
	} {
		if got := cookie(in); (got != "") != valid || valid && got != in {
			t.Errorf("cookie(%q) = %q", in, got)
		}
	}
}

func TestOnlyPublicAddresses(t *testing.T) {
	for in, public := range map[string]bool{
		"203.0.113.7": true, "2a00:1450::1": true, "8.8.8.8.AQQCAQMC": true, "2a00:1450::1.AQ": true,
		"10.1.2.3": false, "192.168.0.1": false, "172.16.9.9": false, "127.0.0.1": false, "169.254.1.1": false, "100.64.1.1": false,
		"fd00::1": false, "fe80::1": false, "fe80::1%eth0": false, "::1": false, "0.0.0.0": false, "224.0.0.1": false, "::ffff:10.0.0.1": false,
		"": false, "example.com": false, "203.0.113.7:443": false,
	} {
		if got := publicIP(in); (got == in) != public && in != "" || !public && got != "" {
			t.Errorf("publicIP(%q) = %q", in, got)
		}
	}
}

func TestLongIDsOfOurOwn(t *testing.T) {
	long := canonical.EventID(strings.Repeat("x", 65))
	if got := eventID(&canonical.Event{ID: long}); got != string(long) {
		t.Errorf("the caller's id became %s: the browser's copy carries another", got)
	}
	if got := eventID(&canonical.Event{ID: long, IDRecipe: 1}); got != canonical.SHA256(string(long)) {
		t.Errorf("our own id is %s", got)
	}
}

func TestTestModeNeedsACode(t *testing.T) {
	without, _ := Kind().New(nil)
	if without.Contract().Test {
		t.Error("test mode is promised without a code")
	}
	with := suite.Open(t)
	if !with.Contract().Test {
		t.Error("test mode is not promised")
	}
	var _ destinations.Destination = Kind().TestMode(with)
}
