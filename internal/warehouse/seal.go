package warehouse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// A Sealer keeps raw receipts and whole events unreadable without the data key:
// compressed, then AES-256-GCM. Every text is sealed under a key of its own, derived from
// the data key and sixteen random bytes, so that the number of texts needs no limit. It
// may be used by many goroutines.
type Sealer struct {
	key []byte
	in  *zstd.Encoder
	out *zstd.Decoder
}

// SealKeySize is the length of a data key in bytes.
const SealKeySize = 32

const (
	sealVersion = 1
	saltSize    = 16
	maxOpened   = 64 << 20 // of one text; larger than any receipt or event may be
)

// ErrSealed is answered by Open for what this key did not seal, or what was changed since.
var ErrSealed = errors.New("sealed with another key, or damaged")

// NewSealer takes a data key of SealKeySize bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != SealKeySize {
		return nil, fmt.Errorf("data key has %d bytes, want %d", len(key), SealKeySize)
	}
	in, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	out, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxOpened))
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	return &Sealer{key: append([]byte(nil), key...), in: in, out: out}, nil
}

// Seal gives the text sealed. Nil stays nil, so that "nothing kept" can be told apart.
func (s *Sealer) Seal(text []byte) []byte {
	if text == nil {
		return nil
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	aead := s.aead(salt)
	packed := s.in.EncodeAll(text, nil)
	out := make([]byte, 0, 1+saltSize+len(packed)+aead.Overhead())
	out = append(append(out, sealVersion), salt...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), packed, out[:1])
}

// Open gives back what Seal was given.
func (s *Sealer) Open(sealed []byte) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	if len(sealed) < 1+saltSize || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	aead := s.aead(sealed[1 : 1+saltSize])
	packed, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[1+saltSize:], sealed[:1])
	if err != nil {
		return nil, ErrSealed
	}
	text, err := s.out.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack sealed text: %w", err)
	}
	return text, nil
}

// aead gives the cipher of one text. Its key is used once, so its nonce may be zero.
func (s *Sealer) aead(salt []byte) cipher.AEAD {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("tributary seal 1"))
	h.Write(salt)
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}
