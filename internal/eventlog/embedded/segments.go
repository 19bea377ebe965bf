package embedded

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A partition is what lies on disk of one: kfake keeps it in partitions/<topic>-<id>, a
// segment in <first offset>.dat with an index beside it.
type partition struct {
	topic    string
	id       int
	segments []segment // by first offset; none is empty
}

type segment struct {
	base     int64 // its first offset
	bytes    int64 // with its index
	modified time.Time
}

// scan reads the sizes of all partitions, and of the whole directory.
func scan(dir string) ([]partition, int64, error) {
	total, err := filesIn(dir)
	if err != nil {
		return nil, 0, err
	}
	root := filepath.Join(dir, "partitions")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	var out []partition
	for _, e := range entries {
		p, ok := named(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		if err := p.read(filepath.Join(root, e.Name())); err != nil {
			return nil, 0, err
		}
		for _, s := range p.segments {
			total += s.bytes
		}
		out = append(out, p)
	}
	return out, total, nil
}

func filesIn(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n, nil
}

func named(name string) (partition, bool) {
	cut := strings.LastIndexByte(name, '-')
	if cut < 0 {
		return partition{}, false
	}
	topic, err := url.PathUnescape(name[:cut])
	if err != nil {
		return partition{}, false
	}
	id, err := strconv.Atoi(name[cut+1:])
	return partition{topic: topic, id: id}, err == nil
}

// read lists the segments. A file that goes while we look was trimmed; an empty one holds
// no records and so cannot keep the end offset.
func (p *partition) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	sizes := make(map[int64]int64)
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".idx")
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(base, 10, 64); err == nil {
			if info, err := e.Info(); err == nil {
				sizes[n] = info.Size()
			}
		}
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".dat")
		if !ok {
			continue
		}
		base, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			continue
		}
		if info, err := e.Info(); err == nil && info.Size() > 0 {
			p.segments = append(p.segments, segment{base: base, bytes: info.Size() + sizes[base], modified: info.ModTime()})
		}
	}
	slices.SortFunc(p.segments, func(a, b segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return nil
}

// next is one past the last offset of a segment that is not the last.
func (p *partition) next(i int) int64 { return p.segments[i+1].base }

// unread is how many bytes lie in whole segments at or after an offset. The last segment
// does not count: it stays in any case.
func (p *partition) unread(committed int64) int64 {
	var n int64
	for i := range len(p.segments) - 1 {
		if p.next(i) > committed {
			n += p.segments[i].bytes
		}
	}
	return n
}
