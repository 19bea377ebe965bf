//go:build !unix

package embedded

import (
	"errors"
	"os"
)

// lockDir needs file locks that a crash frees.
func lockDir(string) (*os.File, error) {
	return nil, errors.New("the embedded log needs a Unix system: name an Apache Kafka in log.brokers")
}
