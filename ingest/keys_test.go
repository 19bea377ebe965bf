package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len(noon) != 0 {
		t.Error("a new directory has keys")
	}
	secret, k, err := s.Create(NewKey{Name: "server", Scopes: []Scope{ScopeIngest, ScopeReplay}, Source: "hub"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "trib_ingest_") || len(secret) != len("trib_ingest_")+32 {
		t.Errorf("key %s", secret)
	}
	found, ok := s.Find(secret)
	if !ok || found.Name != "server" || found.Source != "hub" || !found.Has(ScopeReplay) || found.Has(ScopeRead) || found.Hash != k.Hash {
		t.Errorf("found %+v", found)
	}
	for _, other := range []string{"", "trib_ingest_", secret[:len(secret)-1], secret + "a", strings.ToUpper(secret), k.Hash} {
		if _, ok := s.Find(other); ok {
			t.Errorf("%q is a key", other)
		}
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "keys.json"))
	if strings.Contains(string(raw), secret) || strings.Contains(string(raw), secret[len("trib_ingest_"):]) {
		t.Error("the key stands in the file")
	}
	if info, _ := os.Stat(filepath.Join(dir, "keys.json")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, _, err := s.Create(NewKey{Name: "server", Scopes: []Scope{ScopeRead}}, noon); !errors.Is(err, ErrKeyExists) {
		t.Errorf("a second key of one name: %v", err)
	}

	// Another process revokes it.
	other, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Revoke("server", noon); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if found, _ := s.Find(secret); found.Revoked != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the revocation was not seen")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := other.Revoke("server", noon); !errors.Is(err, ErrNoKey) {
		t.Errorf("revoked twice: %v", err)
	}
	if _, _, err := s.Create(NewKey{Name: "server", Scopes: []Scope{ScopeRead}}, noon); err != nil {
		t.Errorf("the name of a revoked key is not free: %v", err)
	}
	if keys, err := s.List(); err != nil || len(keys) != 2 || s.Len(noon) != 1 {
		t.Errorf("listed %v, %v", keys, err)
	}
}

func TestKeysRefused(t *testing.T) {
	s, err := OpenKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	past := noon.Add(-time.Second)
	for name, n := range map[string]NewKey{
		"no name": {Scopes: []Scope{ScopeRead}}, "no scope": {Name: "a"}, "unknown scope": {Name: "a", Scopes: []Scope{"root"}},
		"browser and more": {Name: "a", Scopes: []Scope{ScopeBrowser, ScopeIngest}}, "expired": {Name: "a", Scopes: []Scope{ScopeRead}, Expires: &past},
	} {
		if _, _, err := s.Create(n, noon); err == nil {
			t.Errorf("%s: a key was made", name)
		}
	}
}

func TestABrokenKeyFileKeepsTheKeysInForce(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.Create(NewKey{Name: "a", Scopes: []Scope{ScopeRead}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"{", `{"version":9}`} {
		if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Reload(); err == nil {
			t.Errorf("%s was read", content)
		}
		if _, ok := s.Find(secret); !ok {
			t.Errorf("after %s the key is gone", content)
		}
	}
	if _, err := OpenKeys(dir); err == nil {
		t.Error("a broken file opens")
	}
}

// A key that was revoked does not work on until a clock that was set back has caught up.
func TestAClockSetBackHidesNoRevocation(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.Create(NewKey{Name: "a", Scopes: []Scope{ScopeRead}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeys(dir) // another process
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Revoke("a", noon); err != nil {
		t.Fatal(err)
	}
	s.checked.Store(time.Now().Add(time.Hour).UnixNano())
	if k, ok := s.Find(secret); !ok || k.Revoked == nil {
		t.Errorf("found %+v, %v: not revoked", k, ok)
	}
}

func TestKeysAreMadeAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := OpenKeys(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := s.Create(NewKey{Name: string(rune('a' + i)), Scopes: []Scope{ScopeIngest}}, noon); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := OpenKeys(dir)
	if err != nil || s.Len(noon) != 8 {
		t.Errorf("%d keys (%v), want 8", s.Len(noon), err)
	}
}

func TestAdminHasEveryScopeButBrowser(t *testing.T) {
	k := Key{Scopes: []Scope{ScopeAdmin}}
	for _, s := range Scopes {
		if got, want := k.Has(s), s != ScopeBrowser; got != want {
			t.Errorf("admin has %s: %v", s, got)
		}
	}
}
