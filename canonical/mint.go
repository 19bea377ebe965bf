package canonical

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// isPlain is true for a part that can stand beside others with ':' or '_' between them, as
// recipe 1 has it: letters, digits, '.', '_' and '-', and in a time also ':' and '+'.
func isPlain(s string, time bool) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		case time && (c == ':' || c == '+'):
		default:
			return false
		}
	}
	return s != ""
}

func arePlain(id, stage, time string) bool {
	return isPlain(id, false) && isPlain(stage, false) && isPlain(time, true)
}

// MintContactID is recipe 1 for a change of a contact or company: the hex SHA-256 of
// "contact:stage:time", byte-equal to the middleware of the published TrackLayer guide.
// Where id or stage holds anything but letters, digits, '.', '_' and '-', the parts are
// length-delimited instead.
func MintContactID(id, stage, time string) EventID {
	if arePlain(id, stage, time) {
		return EventID(SHA256(strings.Join([]string{id, stage, time}, ":")))
	}
	return mintDelimited(id, stage, time)
}

// MintDealID is recipe 1 for a deal's change of stage: deal_<id>_<stage>_<time>.
func MintDealID(id, stage, time string) EventID {
	if arePlain(id, stage, time) {
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
