package embedded

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decode undoes a body's Content-Encoding, then ClickHouse's own blocks. The returned function frees what was needed.
func decode(body io.Reader, contentEncoding string, blocks bool) (io.Reader, func(), error) {
	done := func() {}
	switch strings.ToLower(strings.TrimSpace(contentEncoding)) {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, done, refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "The body is not gzip")
		}
		body = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, done, refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "The body is not deflate")
		}
		body = z
	case "lz4":
		body = lz4.NewReader(body)
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, done, refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "The body is not zstd")
		}
		body, done = z, z.Close
	default:
		return nil, done, refuse(codeUnknownCompression, "UNKNOWN_COMPRESSION_METHOD", "Unknown Content-Encoding %s", clip(contentEncoding))
	}
	if blocks {
		body = newBlockReader(body)
	}
	return body, done, nil
}

// blockReader reads ClickHouse's compressed blocks: 16 bytes of checksum, method, compressed size, size, data.
type blockReader struct {
	from    io.Reader
	decoder *compress.Reader
	block   bytes.Reader
	raw     []byte
	ready   []byte
}

const (
	blockChecksum = 16
	blockHeader   = 9 // counts to the compressed size, the checksum does not
	blockLimit    = 128 << 20
)

func newBlockReader(from io.Reader) *blockReader {
	b := &blockReader{from: from}
	b.decoder = compress.NewReader(&b.block)
	return b
}

func (b *blockReader) Read(p []byte) (int, error) {
	for len(b.ready) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// fill reads one block. A body that ends between two blocks has simply ended.
func (b *blockReader) fill() error {
	b.raw = slices.Grow(b.raw[:0], blockChecksum+blockHeader)[:blockChecksum+blockHeader]
	if _, err := io.ReadFull(b.from, b.raw); err != nil {
		return err
	}
	compressed := int64(binary.LittleEndian.Uint32(b.raw[blockChecksum+1:])) - blockHeader
	size := int64(binary.LittleEndian.Uint32(b.raw[blockChecksum+5:]))
	if compressed < 0 || compressed > blockLimit || size > blockLimit {
		return refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "The body is not in compressed blocks")
	}
	head := len(b.raw)
	b.raw = slices.Grow(b.raw, int(compressed))[:head+int(compressed)]
	if _, err := io.ReadFull(b.from, b.raw[head:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	b.block.Reset(b.raw)
	b.ready = make([]byte, size)
	if _, err := io.ReadFull(b.decoder, b.ready); err != nil {
		return refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "A compressed block of the body is damaged")
	}
	return nil
}

// choose picks how the answer is encoded from what the client accepts. Like ClickHouse it encodes nothing unless the
// request says enable_http_compression=1.
func choose(accept string, enabled bool) string {
	if !enabled {
		return ""
	}
	accepted := map[string]bool{}
	for _, item := range strings.Split(strings.ToLower(accept), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(item), ";")
		if q := strings.ReplaceAll(quality, " ", ""); q == "q=0" || q == "q=0.0" {
			continue
		}
		accepted[strings.TrimSpace(name)] = true
	}
	for _, name := range []string{"zstd", "lz4", "gzip", "deflate"} {
		if accepted[name] {
			return name
		}
	}
	return ""
}

// encode wraps an answer in the chosen Content-Encoding. Closing the writer ends the encoding, not the answer.
func encode(w io.Writer, contentEncoding string) io.WriteCloser {
	switch contentEncoding {
	case "gzip":
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		return z
	case "deflate":
		z, _ := zlib.NewWriterLevel(w, zlib.BestSpeed)
		return z
	case "lz4":
		return lz4.NewWriter(w)
	case "zstd":
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		return z
	default:
		return nopCloser{w}
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// encodeBlocks wraps an answer in ClickHouse's own compressed blocks.
func encodeBlocks(w io.Writer, method string) *blockWriter {
	m := compress.LZ4
	switch strings.ToUpper(method) {
	case "ZSTD":
		m = compress.ZSTD
	case "LZ4HC":
		m = compress.LZ4HC
	case "NONE":
		m = compress.None
	}
	b := &blockWriter{to: w, block: compress.NewWriter(compress.LevelZero, m)}
	b.buffer = bufio.NewWriterSize(writerFunc(b.flush), 1<<20)
	return b
}

type blockWriter struct {
	to     io.Writer
	block  *compress.Writer
	buffer *bufio.Writer
}

func (b *blockWriter) Write(p []byte) (int, error) { return b.buffer.Write(p) }

func (b *blockWriter) Close() error { return b.buffer.Flush() }

// plain ends the block and leaves the next ones uncompressed.
func (b *blockWriter) plain() {
	b.buffer.Flush()
	b.block = compress.NewWriter(compress.LevelZero, compress.None)
}

func (b *blockWriter) flush(p []byte) (int, error) {
	for done := 0; done < len(p); {
		part := p[done:min(done+1<<20, len(p))]
		if err := b.block.Compress(part); err != nil {
			return done, err
		}
		if _, err := b.to.Write(b.block.Data); err != nil {
			return done, err
		}
		done += len(part)
	}
	return len(p), nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// contentTypes are ClickHouse's own for the formats people read; others are octets.
var contentTypes = map[string]string{
	"TabSeparated": "text/tab-separated-values; charset=UTF-8", "TSV": "text/tab-separated-values; charset=UTF-8",
	"TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8", "TSVWithNames": "text/tab-separated-values; charset=UTF-8",
	"TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8", "TSVWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
	"CSV": "text/csv; charset=UTF-8; header=absent", "CSVWithNames": "text/csv; charset=UTF-8; header=present",
	"CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
	"JSON":                 "application/json; charset=UTF-8", "JSONCompact": "application/json; charset=UTF-8", "JSONStrings": "application/json; charset=UTF-8",
	"JSONEachRow": "application/x-ndjson; charset=UTF-8", "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
	"XML": "application/xml; charset=UTF-8", "Native": "application/octet-stream", "RowBinary": "application/octet-stream",
	"RowBinaryWithNamesAndTypes": "application/octet-stream", "Parquet": "application/octet-stream", "Arrow": "application/octet-stream",
}

func contentType(format string) string {
	if t, ok := contentTypes[format]; ok {
		return t
	}
	return "text/plain; charset=UTF-8"
}
