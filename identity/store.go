package identity

// A Store keeps a View's state: an ordered map of bytes. Package storetest is the suite
// that every engine passes; memstore and pebblestore are the engines.
//
// A View calls Apply from one goroutine at a time, Get and Range from many. It never
// changes a slice that it gave or was given.
type Store interface {
	// Get gives the value of a key, and false where there is none. The value stays as it
	// is after the call.
	Get(key []byte) ([]byte, bool, error)
	// Range visits the keys in [lo, hi) in ascending order, until visit returns false. An
	// empty hi means to the end of this store. Key and value may be reused after visit
	// returns. visit does not call the store.
	Range(lo, hi []byte, visit func(key, value []byte) bool) error
	// Apply makes all writes or, after a crash, none. A later Apply never survives an
	// earlier one: what is left after a crash is a prefix of what was applied.
	Apply(writes []Write) error
}

// A Write sets a key, or deletes it where Value is nil. An empty value is a value.
type Write struct {
	Key   []byte
	Value []byte
}
