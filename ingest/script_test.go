package ingest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
)

// A page pays for every byte: 4 KB as they go over the wire, and no more.
func TestTheScriptIsSmall(t *testing.T) {
	s, err := script()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("t.js: %d bytes as written, %d as served, %d in gzip", len(pageSource), len(s.plain), len(s.packed))
	if len(s.packed) > 4096 {
		t.Errorf("t.js has %d bytes in gzip; 4096 are allowed", len(s.packed))
	}
	if bytes.Contains(s.plain, []byte("import(")) || bytes.Contains(s.plain, []byte("http://")) || bytes.Contains(s.plain, []byte("https://")) {
		t.Error("t.js names somebody else's address")
	}
}

func TestTheScriptIsServed(t *testing.T) {
	w := newWorld(t)
	rec := w.send("GET", "/t.js", "")
	h := rec.Header()
	if rec.Code != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "text/javascript") || !strings.Contains(h.Get("Cache-Control"), "max-age=") || h.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d %v", rec.Code, h)
	}
	packed := w.send("GET", "/t.js", "", "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(packed.Body)
	if err != nil || packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal(err, packed.Header())
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, rec.Body.Bytes()) {
		t.Error("gzip holds something else:", err)
	}
	if again := w.send("GET", "/t.js", "", "If-None-Match", `W/`+h.Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("asked again: %d with %d bytes", again.Code, again.Body.Len())
	}
	if head := w.send("HEAD", "/t.js", ""); head.Code != http.StatusOK {
		t.Errorf("HEAD: %d", head.Code)
	}
}

// The click ids that the script looks for are those of canonical, and docs/pixel.md lists them.
func TestTheScriptKnowsEveryClickID(t *testing.T) {
	m := regexp.MustCompile(`const CLICK_IDS = \[([^\]]*)\]`).FindSubmatch(pageSource)
	if m == nil {
		t.Fatal("t.js has no list of click ids")
	}
	var got, want []string
	for _, q := range strings.Split(string(m[1]), ",") {
		got = append(got, strings.Trim(q, ` "`))
	}
	page, err := os.ReadFile("../docs/pixel.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range canonical.ClickSchemes() {
		want = append(want, string(s))
		if !bytes.Contains(page, []byte("`"+s+"`")) {
			t.Errorf("docs/pixel.md does not name %s", s)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("t.js knows %v, canonical %v", got, want)
	}
}
