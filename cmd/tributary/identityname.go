package main

import (
	"regexp"
	"slices"
	"strings"

	"tributary/canonical"
)

// howWritten says how an identifier is written.
const howWritten = canonical.HowWritten + ", or node:<16 hex digits>"

// A badIdentifier is a text that names no identifier. It never repeats what was written after the colon: that may be an address.
type badIdentifier struct{ says string }

func (e *badIdentifier) Error() string { return e.says }

// A whom is an identifier as somebody wrote it: by its value, hashed where it is an
// address or a number, or by its node.
type whom struct {
	canonical.Identifier
	node canonical.NodeID
}

// nodeOf gives the node that was meant.
func (n whom) nodeOf() canonical.NodeID {
	if n.node != 0 {
		return n.node
	}
	return n.Identifier.Node()
}

// written gives it as parseIdentifier reads it, with nothing in the clear.
func (n whom) written() string {
	if n.node != 0 {
		return "node:" + n.node.String()
	}
	return identifierText(n.Identifier)
}

// identifierText writes an identifier the short way.
func identifierText(id canonical.Identifier) string {
	switch id.Scheme {
	case canonical.HubSpotContact:
		return "contact:" + id.Value
	case canonical.HubSpotCompany:
		return "company:" + id.Value
	case canonical.HubSpotDeal:
		return "deal:" + id.Value
	case canonical.Anonymous:
		return "cookie:" + id.Value
	}
	return string(id.Scheme) + ":" + id.Value
}

// parseIdentifier reads how a person writes an identifier. An address or a number is hashed
// at once.
func parseIdentifier(text string) (whom, error) {
	word, value, ok := strings.Cut(strings.TrimSpace(text), ":")
	word, value = strings.ToLower(strings.TrimSpace(word)), strings.TrimSpace(value)
	if ok && (word == "node" || word == "person" || word == "account") {
		var n canonical.NodeID
		if err := n.UnmarshalText([]byte(value)); err != nil || n == 0 || len(value) != 16 {
			return whom{}, &badIdentifier{word + ": a node has 16 hex digits"}
		}
		return whom{node: n}, nil
	}
	id, err := canonical.ReadIdentifier(text)
	if err != nil {
		return whom{}, &badIdentifier{err.Error()}
	}
	return whom{Identifier: id}, nil
}

// unknownIdentifier says what may have been meant by one that no fact named.
func unknownIdentifier(n whom) string {
	says := "no fact has named "
	switch {
	case n.node != 0:
		says += "this node"
	case n.Scheme == canonical.Email, n.Scheme == canonical.Phone:
		says += "this " + string(n.Scheme)
	default:
		says += identifierText(n.Identifier)
	}
	if n.node == 0 && !slices.Contains(canonical.Schemes, n.Scheme) {
		return says + ": there is no kind " + string(n.Scheme) + ", unless one of your own; written are " + howWritten
	}
	return says + " yet; what came just now is there in a moment"
}

// mentionsAddress is true for a text that holds an e-mail address: what is kept for ever
// must not.
func mentionsAddress(text string) bool {
	return addressIn.MatchString(text)
}

var addressIn = regexp.MustCompile(`[^\s@/?&=,;:<>()]+(@|%40)[^\s@/?&=,;:<>()]+\.[^\s@/?&=.,;:!<>()]+`)
