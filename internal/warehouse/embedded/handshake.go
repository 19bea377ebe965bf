package embedded

import (
	"fmt"
	"regexp"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

var handshakeQuery = regexp.MustCompile(`(?i)^SELECT\s+displayName\(\),\s*version\(\),\s*revision\(\),\s*timezone\(\)$`)

func isHandshake(query string) bool { return handshakeQuery.MatchString(query) }

// handshake answers the question with which clickhouse-go begins. It reads this one answer at its own protocol
// revision, and every later one at the revision it is told here: 0, which is how the engine writes Native.
func (s *server) handshake(q *request, a *answer) error {
	block := proto.NewBlock()
	for _, c := range []struct{ name, kind string }{
		{"displayName()", "String"}, {"version()", "String"}, {"revision()", "UInt32"}, {"timezone()", "String"},
	} {
		if err := block.AddColumn(c.name, column.Type(c.kind)); err != nil {
			return fmt.Errorf("answer the handshake: %w", err)
		}
	}
	if err := block.Append(s.identity.displayName, s.identity.version, uint32(0), s.identity.timezone); err != nil {
		return fmt.Errorf("answer the handshake: %w", err)
	}
	var buffer chproto.Buffer
	if err := block.Encode(&buffer, q.revision); err != nil {
		return fmt.Errorf("answer the handshake: %w", err)
	}
	a.start("Native", &stats{rows: 1})
	if _, err := a.body.Write(buffer.Buf); err != nil {
		return &gone{err}
	}
	return nil
}
