package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations/catalog"
	"tributary/internal/config"
)

// One file a mistake. The first line of each says what must be said of it; a file may
// hold a mistake that has two consequences, of which the first is checked.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "bad", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files:", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want := strings.TrimPrefix(first, "# ")
			_, err = config.Parse("tributary.yaml", text, catalog.Kinds())
			if err == nil {
				t.Fatalf("it was taken; want %s", want)
			}
			if got, _, _ := strings.Cut(err.Error(), "\n"); !strings.HasPrefix(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is printed:", err)
			}
		})
	}
}

func TestEveryMistakeAtOnceInTheOrderOfTheFile(t *testing.T) {
	const text = `http: {lisen: 127.0.0.1:1}
log:
  partitions: 0
sources:
  a: {kind: crmm}
  b: {kind: webside}
destinations:
  meta: {kind: meta, mode: live, settings: {}}
`
	var first string
	for range 10 {
		_, err := config.Parse("t.yaml", []byte(text), catalog.Kinds())
		if err == nil {
			t.Fatal("it was taken")
		}
		if first == "" {
			first = err.Error()
		}
		if err.Error() != first {
			t.Fatalf("the same file gave\n%v\nand\n%s", err, first)
		}
	}
	var at []string
	for _, line := range strings.Split(first, "\n") {
		at = append(at, strings.Join(strings.SplitN(line, ":", 3)[:2], ":"))
	}
	if got, want := strings.Join(at, " "), "t.yaml:1 t.yaml:3 t.yaml:5 t.yaml:6 t.yaml:8 t.yaml:8"; got != want {
		t.Errorf("mistakes at %s; want %s\n%s", got, want, first)
	}
}

func TestDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing but a comment\n", "{}", "http:\nlog: {}\n"} {
		c, err := config.Parse("t.yaml", []byte(text), catalog.Kinds())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", config.Default()); got != want {
			t.Errorf("%q gives\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestSettingsStandOverDefaults(t *testing.T) {
	c, err := config.Parse("t.yaml", []byte("log: {prefix: a., embedded: {max_bytes: 16777216}}\ndelivery: {retry_for: 1h}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Log.Prefix, want.Log.Embedded.MaxBytes, want.Delivery.RetryFor = "a.", 16<<20, 3600e9
	if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// All that is wrong with the guards is said at once, each at its place, and nothing that may name somebody is repeated.
func TestEveryMistakeOfTheGuardsAtOnce(t *testing.T) {
	_, err := config.Parse("t.yaml", []byte(`identity:
  never_link:
    - hunter2@test.com
    - email:hunter2@localhost
    - "phone:0301234567"
    - "+14155550134"
    - user:hunter2@test.com
    - cookie:kiosk
    - emial:hunter2@test.com
  never_link_patterns: ["*@test.com", hunter2@test.com, "email:hunter2*@test.com"]
  shared_mailboxes: [frontdesk, hunter2@test.com]
  free_mail: [freebie.example, hunter2@test.com]
  crowd: 0
`), nil)
	if err == nil {
		t.Fatal("it was taken")
	}
	var at []string
	for _, line := range strings.Split(err.Error(), "\n") {
		at = append(at, strings.Join(strings.SplitN(line, ":", 4)[1:3], ":"))
	}
	if got, want := strings.Join(at, " "), "3:7 4:7 5:7 6:7 7:7 9:7 10:39 10:57 11:33 12:32 13:10"; got != want {
		t.Errorf("mistakes at %s; want %s\n%v", got, want, err)
	}
	for _, clear := range []string{"hunter2", "301234567", "4155550134"} {
		if strings.Contains(err.Error(), clear) {
			t.Errorf("%q is repeated:\n%v", clear, err)
		}
	}
}

// What names somebody is a hash once the file is read; what is written differently and means the same is the same guards.
func TestGuardsAreReadAsPeopleWriteThem(t *testing.T) {
	read := func(text string) config.Config {
		t.Helper()
		c, err := config.Parse("t.yaml", []byte("identity:\n"+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := read("  never_link: [email:Jo@Test.com, 'phone:+1 415 555 0134', 'cookie:kiosk:7', contact:4711, user:u-1, domain:www.agency.example]\n" +
		"  never_link_patterns: ['*@Test.com']\n  shared_mailboxes: [FrontDesk]\n  free_mail: [freebie.example]\n  crowd: 5\n")
	d := read("  never_link: ['domain: agency.example', user_id:u-1, hubspot_contact:4711, anonymous:kiosk:7, 'phone:0014155550134', 'email: jo@test.com']\n" +
		"  never_link_patterns: ['*@test.com']\n  shared_mailboxes: [frontdesk]\n  free_mail: [Freebie.example]\n  crowd: 5\n  limit: 100\n")
	g := c.Identity.Guards()
	if g.Hash() != d.Identity.Guards().Hash() {
		t.Errorf("%s\nand\n%s", g.Text(), d.Identity.Guards().Text())
	}
	for _, held := range []string{fmt.Sprintf("%+v", c.Identity.NeverLink), g.Text()} {
		if strings.Contains(strings.ToLower(held), "jo@test") || strings.Contains(held, "4155550134") {
			t.Errorf("it holds an address or a number: %s", held)
		}
	}
	if !slices.Contains(g.NeverLink, canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash("jo@test.com")}) ||
		!slices.Contains(g.NeverLink, canonical.Identifier{Scheme: canonical.Anonymous, Value: "kiosk:7"}) || len(g.NeverLink) != 6 || g.Crowd != 5 || g.Lists == "" {
		t.Errorf("the guards are %s", g.Text())
	}
	if l := c.Identity.Lists(); !l.NeverLinks("jo@test.com") || !l.SharedMailbox("frontdesk@a.example") || l.CompanyDomain("freebie.example") != "" {
		t.Error("the lists are not those of the file")
	}
	plain := config.Default()
	if plain.Identity.Guards().Hash() != (canonical.Guards{}).Hash() || plain.Identity.Lists() != nil || read("  never_link: []\n").Identity.Guards().Hash() != plain.Identity.Guards().Hash() {
		t.Error("a file that says nothing has other guards than the defaults")
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hub.token"), " s3cret \n")
	path := filepath.Join(dir, "tributary.yaml")
	write(t, path, `
data_dir: state
mapping: [m.yaml, /elsewhere/n.yaml]
destinations:
  hub: {kind: hubspot, mode: live, token: "file:hub.token"}
`)
	c, err := config.Load(path, catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ got, want string }{
		{c.DataDir, filepath.Join(dir, "state")},
		{c.Mapping[0], filepath.Join(dir, "m.yaml")},
		{c.Mapping[1], "/elsewhere/n.yaml"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
	if got, err := c.Destinations["hub"].Token.Value(); err != nil || got != "s3cret" {
		t.Errorf("the token is %q, %v", got, err)
	}
}

func TestNoFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if err == nil || !strings.Contains(err.Error(), "tributary init") {
		t.Errorf("got %v; want a hint at tributary init", err)
	}
}

func TestSecretValue(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "\n")
	t.Setenv("TRIBUTARY_TEST_SECRET", "hunter2\n")
	t.Setenv("TRIBUTARY_TEST_EMPTY", "")
	for _, tc := range []struct {
		secret config.Secret
		want   string
		err    string
	}{
		{secret: "", want: ""},
		{secret: "env:TRIBUTARY_TEST_SECRET", want: "hunter2"},
		{secret: "env:TRIBUTARY_TEST_UNSET", err: "TRIBUTARY_TEST_UNSET is not set"},
		{secret: "env:TRIBUTARY_TEST_EMPTY", err: "TRIBUTARY_TEST_EMPTY is empty"},
		{secret: "file:/no/such/file", err: "read secret: open /no/such/file"},
		{secret: config.Secret("file:" + empty), err: "is empty"},
	} {
		got, err := tc.secret.Value()
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: got %q, %v; want %q, %s", string(tc.secret), got, err, tc.want, tc.err)
		}
	}
}

// However a secret that stands in the file by mistake, or its configuration, is printed,
// it does not show.
func TestSecretsDoNotPrint(t *testing.T) {
	c := config.Default()
	c.DataKey = "hunter2"
	c.Warehouse.Password = "hunter2:hunter2"
	c.Log.SASL.Password = "env:hunter2"
	c.Destinations = map[string]config.Destination{"meta": {Token: "hunter2"}}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&b, verb+"\n", c)
		fmt.Fprintf(&b, verb+"\n", c.DataKey)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	b.Write(y)
	l := slog.New(slog.NewJSONHandler(&b, nil))
	l.Info("m", "secret", c.DataKey, "config", c)
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "secret", c.DataKey, "config", c)
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("a secret is printed:\n%s", b.String())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
