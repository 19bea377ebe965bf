package ingest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Scope is what a key may do.
type Scope string

// The scopes. None includes another: a key has those it was given.
const (
	ScopeBrowser Scope = "browser" // the pixel, and nothing else; may stand in a page
	ScopeIngest  Scope = "ingest"  // every way in
	ScopeReplay  Scope = "replay"  // replay and rerun
	ScopeRead    Scope = "read"    // where something is, balances
	ScopeAdmin   Scope = "admin"   // everything but the pixel in a page
)

// Scopes lists them all.
var Scopes = []Scope{ScopeBrowser, ScopeIngest, ScopeReplay, ScopeRead, ScopeAdmin}

// A Key is what is kept of a bearer key. The key itself is not kept, only its SHA-256: a
// key is 160 random bits, which nobody finds by trying, so that a slow hash or a salt
// would only make every request slower.
type Key struct {
	Name    string     `json:"name"`
	Scopes  []Scope    `json:"scopes"`
	Source  string     `json:"source,omitempty"` // what it sends belongs here; "" lets the item say
	Hint    string     `json:"hint"`             // its first letters, to tell it by
	Hash    string     `json:"sha256"`
	Created time.Time  `json:"created"`
	Rate    Rate       `json:"rate,omitzero"` // how many requests it may make; zero: as configured for all
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// Has is true when the key has the scope. Admin has every one but browser.
func (k Key) Has(s Scope) bool {
	return slices.Contains(k.Scopes, s) || s != ScopeBrowser && slices.Contains(k.Scopes, ScopeAdmin)
}

// A KeyFinder knows keys by what callers send.
type KeyFinder interface {
	// Find gives the key that secret is, also an expired or revoked one.
	Find(secret string) (Key, bool)
}

// keysFile is the file in data_dir.
const keysFile = "keys.json"

// A KeyStore keeps keys in keys.json, readable by its owner alone. What another process
// changes is seen within a second. All methods may be called at the same time.
type KeyStore struct {
	path  string
	known atomic.Pointer[keySet]
	// checked is when the file was last looked at, in Unix nanoseconds.
	checked atomic.Int64
	mu      sync.Mutex // one reads the file at a time
}

var _ KeyFinder = (*KeyStore)(nil)

// keySet is the file's content at one time.
type keySet struct {
	keys   []Key
	byHash map[[sha256.Size]byte]Key
	stamp  fileStamp
}

// fileStamp tells two states of a file apart.
type fileStamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

// lookAgain is how old the last look at the file may be.
const lookAgain = time.Second

// OpenKeys opens the keys of a data directory; a directory without keys has none.
func OpenKeys(dataDir string) (*KeyStore, error) {
	s := &KeyStore{path: filepath.Join(dataDir, keysFile)}
	return s, s.Reload()
}

// Len is how many keys there are that are neither revoked nor expired.
func (s *KeyStore) Len(now time.Time) int {
	n := 0
	for _, k := range s.known.Load().keys {
		if k.Revoked == nil && (k.Expires == nil || now.Before(*k.Expires)) {
			n++
		}
	}
	return n
}

// Find looks a key up by its hash. The map tells nothing of a key that is not known: to
// be near a hash is no nearer to the key. The hash itself is compared in constant time.
func (s *KeyStore) Find(secret string) (Key, bool) {
	s.lookIfOld()
	sum := sha256.Sum256([]byte(secret))
	k, ok := s.known.Load().byHash[sum]
	if !ok {
		return Key{}, false
	}
	want, err := hex.DecodeString(k.Hash)
	if err != nil || subtle.ConstantTimeCompare(sum[:], want) != 1 {
		return Key{}, false
	}
	return k, true
}

// List gives every key, in the order made.
func (s *KeyStore) List() ([]Key, error) {
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return slices.Clone(s.known.Load().keys), nil
}

// NewKey says what a key to be made is to be.
type NewKey struct {
	Name    string
	Scopes  []Scope
	Source  string
	Rate    Rate
	Expires *time.Time
}

// Errors of Create and Revoke that callers act on.
var (
	ErrKeyExists = errors.New("a key of this name exists")
	ErrNoKey     = errors.New("no key of this name")
)

// Create makes a key and gives it in the clear, this once.
func (s *KeyStore) Create(n NewKey, now time.Time) (secret string, k Key, err error) {
	if err := n.check(now); err != nil {
		return "", Key{}, err
	}
	secret = newSecret(n.Scopes[0])
	sum := sha256.Sum256([]byte(secret))
	k = Key{
		Name: n.Name, Scopes: n.Scopes, Source: n.Source, Hint: secret[:strings.LastIndexByte(secret, '_')+5],
		Hash: hex.EncodeToString(sum[:]), Created: now.UTC().Truncate(time.Second), Rate: n.Rate, Expires: n.Expires,
	}
	err = s.change(func(keys []Key) ([]Key, error) {
		for _, have := range keys {
			if have.Name == k.Name && have.Revoked == nil {
				return nil, fmt.Errorf("create key %q: %w", k.Name, ErrKeyExists)
			}
		}
		return append(keys, k), nil
	})
	if err != nil {
		return "", Key{}, err
	}
	return secret, k, nil
}

func (n NewKey) check(now time.Time) error {
	if n.Name == "" || len(n.Name) > 64 || strings.ContainsFunc(n.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("create key: a name of 1 to 64 characters is needed")
	}
	if len(n.Scopes) == 0 {
		return errors.New("create key: a scope is needed: browser, ingest, replay, read or admin")
	}
	for _, sc := range n.Scopes {
		if !slices.Contains(Scopes, sc) {
			return fmt.Errorf("create key: there is no scope %q; there are browser, ingest, replay, read and admin", sc)
		}
	}
	if slices.Contains(n.Scopes, ScopeBrowser) && len(n.Scopes) > 1 {
		return errors.New("create key: a browser key stands in a page for all to see, so it has no other scope")
	}
	if n.Expires != nil && !n.Expires.After(now) {
		return errors.New("create key: it would have expired already")
	}
	return nil
}

// newSecret makes trib_<scope>_<32 letters and digits>: 160 random bits.
func newSecret(s Scope) string {
	var b [20]byte
	rand.Read(b[:]) // never fails
	return "trib_" + string(s) + "_" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Revoke ends a key at once; it stays listed.
func (s *KeyStore) Revoke(name string, now time.Time) error {
	return s.change(func(keys []Key) ([]Key, error) {
		for i, k := range keys {
			if k.Name == name && k.Revoked == nil {
				at := now.UTC().Truncate(time.Second)
				keys[i].Revoked = &at
				return keys, nil
			}
		}
		return nil, fmt.Errorf("revoke key %q: %w", name, ErrNoKey)
	})
}

// SetRate changes how many requests a key may make; the zero Rate is what is configured for all.
func (s *KeyStore) SetRate(name string, r Rate) error {
	return s.change(func(keys []Key) ([]Key, error) {
		for i, k := range keys {
			if k.Name == name && k.Revoked == nil {
				keys[i].Rate = r
				return keys, nil
			}
		}
		return nil, fmt.Errorf("change key %q: %w", name, ErrNoKey)
	})
}

// change reads, changes and writes the file, with other processes kept out.
func (s *KeyStore) change(f func([]Key) ([]Key, error)) error {
	unlock, err := lockFile(s.path + ".lock")
	if err != nil {
		return fmt.Errorf("lock keys: %w", err)
	}
	defer unlock()
	if err := s.Reload(); err != nil {
		return err
	}
	keys, err := f(slices.Clone(s.known.Load().keys))
	if err != nil {
		return err
	}
	if err := writeKeys(s.path, keys); err != nil {
		return err
	}
	return s.Reload()
}

// keyFile is what stands in keys.json.
type keyFile struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// writeKeys replaces the file whole: a reader sees the old one or the new one.
func writeKeys(path string, keys []Key) error {
	b, err := json.MarshalIndent(keyFile{1, keys}, "", "  ")
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// lookIfOld reads the file again where it changed, at most once a second, and at once where the
// clock was set back. A file that cannot be read leaves the keys as they were.
func (s *KeyStore) lookIfOld() {
	now, last := time.Now().UnixNano(), s.checked.Load()
	if age := now - last; age >= 0 && age < int64(lookAgain) || !s.checked.CompareAndSwap(last, now) {
		return
	}
	info, err := os.Stat(s.path)
	if err == nil && stampOf(info) == s.known.Load().stamp {
		return
	}
	_ = s.Reload()
}

// Reload reads the file now.
func (s *KeyStore) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked.Store(time.Now().UnixNano())
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.known.Store(newKeySet(nil, fileStamp{}))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	b, err := os.ReadFile(s.path)
	if err == nil {
		var file keyFile
		if err = json.Unmarshal(b, &file); err == nil {
			if file.Version != 1 {
				err = fmt.Errorf("version %d is not known", file.Version)
			} else {
				s.known.Store(newKeySet(file.Keys, stampOf(info)))
			}
		}
	}
	if err != nil {
		if s.known.Load() == nil {
			s.known.Store(newKeySet(nil, fileStamp{}))
		}
		return fmt.Errorf("read keys: %s: %w", s.path, err)
	}
	return nil
}

func newKeySet(keys []Key, stamp fileStamp) *keySet {
	set := &keySet{keys: keys, byHash: make(map[[sha256.Size]byte]Key, len(keys)), stamp: stamp}
	for _, k := range keys {
		if b, err := hex.DecodeString(k.Hash); err == nil && len(b) == sha256.Size {
			set.byHash[[sha256.Size]byte(b)] = k
		}
	}
	return set
}
