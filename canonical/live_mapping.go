package canonical

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A LiveMapping says that a mapping went live in a process: the value of a record of type
// mapping in replays, written before the first event carries the version.
type LiveMapping struct {
	Version string    `json:"version"`
	Before  string    `json:"before,omitempty"` // what it took the place of; "" at the start of a process
	At      time.Time `json:"at"`
	Process string    `json:"process"`
	By      string    `json:"by"` // start, file, signal, or the name of a key
	// Packed holds the files, gzipped: see PackMapping.
	Packed []byte `json:"packed"`
	// Meanings gives every name what it stands for in reports: lead, opportunity, revenue,
	// expansion, other.
	Meanings map[string]string `json:"meanings,omitempty"`
}

// A MappingFile is one file of a mapping.
type MappingFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
	// Env holds the variables that the text names, as they were: ids, no secrets.
	Env map[string]string `json:"env,omitempty"`
}

// mostUnpacked bounds the text of one mapping.
const mostUnpacked = 64 << 20

// PackMapping packs files for a record.
func PackMapping(files []MappingFile) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(files); err != nil {
		return nil, fmt.Errorf("pack mapping: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack mapping: %w", err)
	}
	return b.Bytes(), nil
}

// Files gives the files of the mapping as they were loaded.
func (m LiveMapping) Files() ([]MappingFile, error) {
	z, err := gzip.NewReader(bytes.NewReader(m.Packed))
	if err != nil {
		return nil, fmt.Errorf("unpack mapping %s: %w", m.Version, err)
	}
	var files []MappingFile
	if err := json.NewDecoder(io.LimitReader(z, mostUnpacked)).Decode(&files); err != nil {
		return nil, fmt.Errorf("unpack mapping %s: %w", m.Version, err)
	}
	return files, nil
}
