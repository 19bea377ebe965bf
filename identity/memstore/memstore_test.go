package memstore_test

import (
	"testing"

	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/identity/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) identity.Store { return memstore.New() })
}
