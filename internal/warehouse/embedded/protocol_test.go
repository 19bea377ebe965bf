package embedded_test

import (
	"fmt"
	"os"
	"testing"

	"tributary/internal/warehouse"
	"tributary/internal/warehouse/warehousetest"
)

// The suite runs on the embedded engine, and on an outside ClickHouse where the environment names one.
func TestProtocol(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { warehousetest.Protocol(t, warehousetest.Start(t)) })
	if url := os.Getenv("TRIBUTARY_TEST_CLICKHOUSE_URL"); url != "" {
		t.Run("server", func(t *testing.T) {
			warehousetest.Protocol(t, warehouse.Options{
				URL: url, User: os.Getenv("TRIBUTARY_TEST_CLICKHOUSE_USER"), Password: os.Getenv("TRIBUTARY_TEST_CLICKHOUSE_PASSWORD"),
				Database: fmt.Sprintf("protocol_test_%d", os.Getpid()),
			})
		})
	}
}
