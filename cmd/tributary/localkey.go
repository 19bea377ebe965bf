package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tributary/ingest"
)

// A localKey lets commands on the same machine, run by the same user, ask the running
// process: it lives as long as the process, in a file only its owner can read.
type localKey struct {
	path   string
	secret string
}

type localFile struct {
	Address string `json:"address"`
	Key     string `json:"key"`
}

func localPath(dataDir string) string { return filepath.Join(dataDir, "running.json") }

func newLocalKey(dataDir, address string) (*localKey, error) {
	b := make([]byte, 20)
	rand.Read(b)
	k := &localKey{path: localPath(dataDir), secret: "trib_local_" + hex.EncodeToString(b)}
	text, err := json.Marshal(localFile{Address: address, Key: k.secret})
	if err != nil {
		return nil, err
	}
	// A new file: one that a killed process left may be readable by others.
	fresh := k.path + ".new"
	os.Remove(fresh)
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", k.path, err)
	}
	if err := os.Rename(fresh, k.path); err != nil {
		return nil, fmt.Errorf("write %s: %w", k.path, err)
	}
	return k, nil
}

func (k *localKey) remove() { os.Remove(k.path) }

// Find knows the one key.
func (k *localKey) Find(secret string) (ingest.Key, bool) {
	if subtle.ConstantTimeCompare([]byte(secret), []byte(k.secret)) != 1 {
		return ingest.Key{}, false
	}
	return ingest.Key{Name: "command line", Scopes: []ingest.Scope{ingest.ScopeAdmin}}, true
}

// A keyChain asks one after the other.
type keyChain []ingest.KeyFinder

// Find gives the first that knows the key.
func (c keyChain) Find(secret string) (ingest.Key, bool) {
	for _, f := range c {
		if k, ok := f.Find(secret); ok {
			return k, true
		}
	}
	return ingest.Key{}, false
}

// readLocal finds the running process of a data directory; errNotRunning: there is none.
func readLocal(dataDir string) (localFile, error) {
	var f localFile
	b, err := os.ReadFile(localPath(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return f, errNotRunning
	}
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(b, &f)
}

var errNotRunning = errors.New("no router is running on this data directory; start one with: tributary serve")
