package identity

import "encoding/hex"

// The forms of a value in a record: most are hashes and UUIDs, which take half the room as
// bytes.
const (
	formText = iota
	formHex
	formUUID
)

// pack gives the shortest form of a value.
func pack(v string) (form byte, b []byte) {
	switch {
	case len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-':
		digits := v[:8] + v[9:13] + v[14:18] + v[19:23] + v[24:]
		if b, ok := fromHex(digits); ok {
			return formUUID, b
		}
	case len(v) >= 16:
		if b, ok := fromHex(v); ok {
			return formHex, b
		}
	}
	return formText, []byte(v)
}

// fromHex takes small letters only: the others would come back as small ones.
func fromHex(v string) ([]byte, bool) {
	for i := range len(v) {
		if c := v[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil, false
		}
	}
	b, err := hex.DecodeString(v)
	return b, err == nil
}

func unpack(form byte, b []byte) string {
	switch form {
	case formHex:
		return hex.EncodeToString(b)
	case formUUID:
		s := hex.EncodeToString(b)
		if len(s) != 32 {
			return s // a record that was cut short: it is another node's
		}
		return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	return string(b)
}
