package canonical

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// AppendJSON writes the receipt behind b, byte for byte as encoding/json does. Every
// accepted item passes here, so it takes its time only where a receipt is unusual.
func (r *Receipt) AppendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"receipt_id":`...)
	b = appendText(b, string(r.ID))
	b = append(b, `,"source":`...)
	b = appendText(b, r.Source)
	b = append(b, `,"way":`...)
	b = appendText(b, string(r.Way))
	if r.Browser {
		b = append(b, `,"browser":true`...)
	}
	b = append(b, `,"received_at":"`...)
	b, err := r.ReceivedAt.AppendText(b)
	if err != nil {
		return nil, err
	}
	b = append(b, `","body":`...)
	if r.Body == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, r.Body)
		b = append(b, '"')
	}
	if len(r.Context) > 0 {
		if b, err = appendMember(b, "context", r.Context); err != nil {
			return nil, err
		}
	}
	if r.Completion != nil {
		if b, err = appendMember(b, "completion", r.Completion); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// JSONSize is about how long AppendJSON's text is, rather too much than too little where
// there is neither context nor completion.
func (r *Receipt) JSONSize() int {
	return 160 + len(r.ID) + len(r.Source) + base64.StdEncoding.EncodedLen(len(r.Body))
}

func appendMember(b []byte, name string, v any) ([]byte, error) {
	j, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return append(b, j...), nil
}

// appendText writes s in quotes. What encoding/json writes otherwise than as it stands is
// left to it.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c >= utf8.RuneSelf, c == '"', c == '\\', c == '<', c == '>', c == '&':
			j, _ := json.Marshal(s) // of a string it never fails
			return append(b, j...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
