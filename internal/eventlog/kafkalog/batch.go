package kafkalog

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"time"

	"tributary/internal/eventlog"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Where the fields of a record batch stand that are known only once its records are
// written, counted from its first byte.
const (
	batchLength     = 8
	batchCRC        = 17
	batchAttributes = 21 // the checksum covers all from here on
)

// appendBatch writes records as a produce request carries them: a length, then one record
// batch of format 2, without compression. It gives the same bytes as kafka-go, which
// makes several objects of each record on the way.
func appendBatch(b []byte, batch []span, stamp time.Time) []byte {
	start := len(b) + 4
	n := int32(0)
	for _, s := range batch {
		n += int32(s.to - s.from)
	}
	at := uint64(stamp.UnixMilli())
	be := binary.BigEndian
	b = be.AppendUint32(b, 0)           // length of what follows: below
	b = be.AppendUint64(b, 0)           // first offset: the broker's to say
	b = be.AppendUint32(b, 0)           // length: below
	b = be.AppendUint32(b, 1<<32-1)     // leader epoch: none
	b = append(b, 2)                    // format
	b = be.AppendUint32(b, 0)           // checksum: below
	b = be.AppendUint16(b, 0)           // attributes
	b = be.AppendUint32(b, uint32(n-1)) // last offset, from the first
	b = be.AppendUint64(b, at)          // first time
	b = be.AppendUint64(b, at)          // last time
	b = be.AppendUint64(b, 1<<64-1)     // producer: none
	b = be.AppendUint16(b, 1<<16-1)     // its epoch
	b = be.AppendUint32(b, 1<<32-1)     // its sequence
	b = be.AppendUint32(b, uint32(n))
	i := int64(0)
	for _, s := range batch {
		for k := s.from; k < s.to; k++ {
			b = appendRecord(b, s.call.record(k), i)
			i++
		}
	}
	be.PutUint32(b[start-4:], uint32(len(b)-start))
	be.PutUint32(b[start+batchLength:], uint32(len(b)-start-batchLength-4))
	be.PutUint32(b[start+batchCRC:], crc32.Checksum(b[start+batchAttributes:], castagnoli))
	return b
}

func appendRecord(b []byte, r *eventlog.Record, offset int64) []byte {
	var number [20]byte
	version := strconv.AppendInt(number[:0], int64(r.Version), 10)
	headers := r.Type != "" || r.Version != 0
	size := 1 + 1 + sizeVarint(offset) + sizeBytes(r.Key, len(r.Key) == 0) + sizeBytes(r.Value, r.Value == nil) + 1
	if headers {
		size += sizeVarint(int64(len(headerType))) + len(headerType) + sizeVarint(int64(len(r.Type))) + len(r.Type) +
			sizeVarint(int64(len(headerSchema))) + len(headerSchema) + sizeVarint(int64(len(version))) + len(version)
	}
	b = binary.AppendVarint(b, int64(size))
	b = append(b, 0, 0) // attributes; all of a batch have the first's time
	b = binary.AppendVarint(b, offset)
	b = appendBytes(b, r.Key, len(r.Key) == 0)
	b = appendBytes(b, r.Value, r.Value == nil)
	if !headers {
		return append(b, 0)
	}
	b = binary.AppendVarint(b, 2)
	b = appendText(b, headerType)
	b = appendText(b, r.Type)
	b = appendText(b, headerSchema)
	return appendBytes(b, version, false)
}

// appendBytes writes bytes with their length, -1 for none at all.
func appendBytes(b, v []byte, null bool) []byte {
	if null {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

func sizeBytes(v []byte, null bool) int {
	if null {
		return 1
	}
	return sizeVarint(int64(len(v))) + len(v)
}

// sizeVarint is how many bytes binary.AppendVarint writes.
func sizeVarint(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
