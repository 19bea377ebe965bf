package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"
)

// A Sealer makes texts unreadable without its key, and readable again.
type Sealer interface {
	Seal(text []byte) []byte
	Open(sealed []byte) ([]byte, error)
}

// A Store keeps what vendors gave, one sealed file a grant, readable by its owner only.
type Store struct {
	Dir    string
	Sealer Sealer
}

// kept is what is known of a grant: the value of its file.
type kept struct {
	Format int    `json:"format"` // 1
	Grant  string `json:"grant"`  // the fingerprint of what was configured when the chain of tokens began
	// Token is the last one; its refresh token is the one to use next.
	Token *oauth2.Token `json:"token"`
	Got   time.Time     `json:"got"`
	// RefreshEnds is when the refresh token itself ends; zero where the vendor does not say.
	RefreshEnds time.Time `json:"refresh_ends,omitzero"`
}

const format = 1

func (s Store) path(grant string) string { return filepath.Join(s.Dir, grant+".token") }

// load gives what is kept of a grant; the zero value where there is nothing.
func (s Store) load(grant string) (kept, error) {
	sealed, err := os.ReadFile(s.path(grant))
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("read stored token: %w", err)
	}
	text, err := s.Sealer.Open(sealed)
	if err != nil {
		return kept{}, fmt.Errorf("open the stored token %s: %w (was data_key changed?)", s.path(grant), err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil || k.Format != format || k.Grant != grant || k.Token == nil {
		return kept{}, fmt.Errorf("the stored token %s is none that this version reads; delete it to begin again with the configured refresh token", s.path(grant))
	}
	return k, nil
}

// save replaces what is kept of a grant: after it returns nil a crash finds the new one,
// before that the old one.
func (s Store) save(k kept) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	f, err := os.CreateTemp(s.Dir, "new-*") // 0600
	if err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(s.Sealer.Seal(text))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	if err := os.Rename(f.Name(), s.path(k.Grant)); err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	if d, err := os.Open(s.Dir); err == nil { // so that the name survives a power cut as well
		d.Sync()
		d.Close()
	}
	return nil
}

// forget removes what is kept of a grant that was replaced.
func (s Store) forget(grant string) {
	if grant != "" {
		os.Remove(s.path(grant))
	}
}
