package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// A Secret says where a credential stands: env:NAME or file:PATH. The credential itself
// is read when it is needed, so that a changed file is used at once, and never printed.
type Secret string

func (s Secret) check() error {
	if s == "" || strings.HasPrefix(string(s), "env:") && len(s) > 4 || strings.HasPrefix(string(s), "file:") && len(s) > 5 {
		return nil
	}
	return errors.New("write where the secret stands, env:NAME or file:PATH, not the secret itself")
}

// Where is Value for a secret that was not in a checked file: what is not env:NAME or file:PATH is a
// mistake.
func (s Secret) Where() (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	return s.Value()
}

// Value reads the credential. "" where none is configured.
func (s Secret) Value() (string, error) {
	if s == "" {
		return "", nil
	}
	if name, ok := strings.CutPrefix(string(s), "env:"); ok {
		v, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		if v = strings.TrimSpace(v); v == "" {
			return "", fmt.Errorf("the environment variable %s is empty", name)
		}
		return v, nil
	}
	path, _ := strings.CutPrefix(string(s), "file:")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("read secret: %s is empty", path)
	}
	return v, nil
}

// String, GoString, MarshalText and LogValue keep a secret that was written into the file
// by mistake from being printed.
func (s Secret) String() string {
	switch where, _, _ := strings.Cut(string(s), ":"); {
	case s == "":
		return ""
	case s.check() == nil:
		return where + ":…"
	}
	return "…"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String: a configuration that is written out holds no secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
