package canonical

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strings"
)

// plain parts can stand side by side with ':' or '_' between them as recipe 1 has it.
var plainPart = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// plainTime also allows the colons and the plus of a time.
var plainTime = regexp.MustCompile(`^[A-Za-z0-9.:+_-]+$`)

// MintContactID is recipe 1 for a change of a contact or company: the hex SHA-256 of
// "contact:stage:time", byte-equal to the middleware of the published TrackLayer guide.
// Where id or stage holds anything but letters, digits, '.', '_' and '-', the parts are
// length-delimited instead.
func MintContactID(id, stage, time string) EventID {
	if plainPart.MatchString(id) && plainPart.MatchString(stage) && plainTime.MatchString(time) {
		return EventID(SHA256(strings.Join([]string{id, stage, time}, ":")))
	}
	return mintDelimited(id, stage, time)
}

// MintDealID is recipe 1 for a deal's change of stage: deal_<id>_<stage>_<time>.
func MintDealID(id, stage, time string) EventID {
	if plainPart.MatchString(id) && plainPart.MatchString(stage) && plainTime.MatchString(time) {
		return EventID("deal_" + id + "_" + stage + "_" + time)
	}
	return EventID("deal_" + string(mintDelimited(id, stage, time)))
}

// MintID is for everything that recipe 1 of the guide does not name: the hex SHA-256 of
// the length-delimited parts. Its first part should say what kind of thing it names.
func MintID(parts ...string) EventID { return mintDelimited(parts...) }

func mintDelimited(parts ...string) EventID {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return EventID(hex.EncodeToString(h.Sum(nil)))
}
