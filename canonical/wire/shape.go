package wire

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"tributary/canonical"
)

// The codes of faults: why an item or a body is refused at the door. They are codes of
// the table in docs/http.md.
const (
	FaultMalformed = "malformed"
	FaultWrongType = "wrong_type"
	FaultTooDeep   = "too_deep"
	FaultTooLarge  = "too_large"
	FaultUTF8      = "bad_utf8"
	FaultWay       = "unknown_way"
)

// A Fault says why something is refused at the door, and at which byte where that is
// known. Its text holds nothing of the body.
type Fault struct {
	Code   string
	Offset int // -1: of the item as a whole
	Says   string
}

func (f *Fault) Error() string {
	if f.Offset < 0 {
		return f.Says
	}
	return fmt.Sprintf("%s (at byte %d)", f.Says, f.Offset)
}

// Bounds limit one item. Zero stands for the default.
type Bounds struct {
	Bytes int // 256 KiB
	Depth int // 64
}

func (b Bounds) bytes() int {
	if b.Bytes <= 0 {
		return 256 << 10
	}
	return b.Bytes
}

func (b Bounds) depth() int {
	if b.Depth <= 0 {
		return 64
	}
	return b.Depth
}

// CheckShape is what the door checks of one item: that it is a JSON object in valid
// UTF-8, within bounds, by a way that is known. Nil means: append it. What it says is
// read later, by Read. One pass, nothing is decoded.
func CheckShape(way canonical.Way, body []byte, b Bounds) *Fault {
	if len(body) > b.bytes() {
		return &Fault{FaultTooLarge, -1, fmt.Sprintf("is larger than %d bytes", b.bytes())}
	}
	s, fault := Scan(body)
	if fault != nil {
		return fault
	}
	return s.Check(way, b)
}

// CheckMerge is what the door checks of a merge or an unmerge besides: that it can be read, and
// says which record survives and which others are it. event is the item's name as it stands in the
// body. What is neither a merge nor an unmerge is not looked into.
func CheckMerge(way canonical.Way, event, body []byte, now func() time.Time) *Problem {
	if len(event) < 3 || event[0] != '"' || !mayBeMerge(event) {
		return nil
	}
	if k, _ := kindOf(strings.TrimSpace(string(event[1 : len(event)-1]))); k != merged && k != unmerged {
		return nil
	}
	_, problem := Read(canonical.Receipt{Way: way, Body: body, ReceivedAt: now()}, Settings{})
	return problem
}

// mayBeMerge looks at a name without making a text of it.
func mayBeMerge(event []byte) bool {
	for i := 0; i+5 <= len(event); i++ {
		if event[i]|0x20 == 'm' && bytes.EqualFold(event[i:i+5], []byte("merge")) {
			return true
		}
	}
	return false
}

// Check is CheckShape for an item that was scanned already.
func (s Shape) Check(way canonical.Way, b Bounds) *Fault {
	switch way {
	case canonical.WayCRM, canonical.WayEvents, canonical.WayHubSpot, canonical.WayPixel, canonical.WayMeta, canonical.WayHook, canonical.WayWorkflow, canonical.WaySegment:
	default:
		return &Fault{FaultWay, -1, "comes by a way that is not known"}
	}
	switch {
	case s.Size > b.bytes():
		return &Fault{FaultTooLarge, -1, fmt.Sprintf("is larger than %d bytes", b.bytes())}
	case s.Kind != '{':
		return &Fault{FaultWrongType, -1, "must be a JSON object"}
	case s.Depth > b.depth():
		return &Fault{FaultTooDeep, -1, fmt.Sprintf("is nested deeper than %d levels", b.depth())}
	case !s.UTF8:
		return &Fault{FaultUTF8, -1, "holds bytes that are not UTF-8"}
	}
	return nil
}
