package pebblestore_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/identity/pebblestore"
	"tributary/identity/storetest"
)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func openDB(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openView(t *testing.T, s identity.Store) *identity.View {
	t.Helper()
	v, err := identity.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) identity.Store {
		db := openDB(t, vfs.NewMem())
		t.Cleanup(func() { db.Close() })
		return pebblestore.New(db, []byte("identity/"))
	})
}

func TestOthersShareTheDatabase(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	for _, prefix := range []string{"a", "b", "b\xff", "\xff\xff"} {
		s := pebblestore.New(db, []byte(prefix+"/"))
		if err := s.Apply([]identity.Write{{Key: []byte("k"), Value: []byte(prefix)}, {Key: []byte("\xff"), Value: []byte{}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"a", "b", "b\xff", "\xff\xff"} {
		n := 0
		s := pebblestore.New(db, []byte(prefix+"/"))
		if err := s.Range(nil, nil, func(k, v []byte) bool {
			if n++; string(k) == "k" && string(v) != prefix {
				t.Errorf("%q reads %q", prefix, v)
			}
			return true
		}); err != nil || n != 2 {
			t.Errorf("%q sees %d keys, %v", prefix, n, err)
		}
	}
}

func TestReopenedViewGoesOn(t *testing.T) {
	fs := vfs.NewMem()
	log := storetest.Facts(600, 30)
	whole := openView(t, memstore.New())
	if err := whole.Fold(log); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(log); at += 50 {
		db := openDB(t, fs)
		v := openView(t, pebblestore.New(db, []byte("i")))
		// From the beginning each time, as a reader that knows no better: the view passes over
		// what it has.
		if err := v.Fold(log[:at+50]); err != nil {
			t.Fatal(err)
		}
		if at+50 == len(log) {
			storetest.Same(t, v, whole)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// After a crash the store is one that was, whole, and folding on from its offset gives
// what an undisturbed view has.
func TestCrashLeavesAWholeStore(t *testing.T) {
	log := storetest.Facts(600, 30)
	digests := map[int64][32]byte{}
	mem := openView(t, memstore.New())
	digests[-1] = mem.Digest()
	for at := 0; at < len(log); at += 20 {
		if err := mem.Fold(log[at : at+20]); err != nil {
			t.Fatal(err)
		}
		digests[mem.Offset()] = mem.Digest()
	}
	fs := vfs.NewCrashableMem()
	for crash := range 12 {
		db := openDB(t, fs)
		v := openView(t, pebblestore.New(db, []byte("i")))
		if want, ok := digests[v.Offset()]; !ok || v.Digest() != want {
			t.Fatalf("crash %d: at offset %d the store is none that was", crash, v.Offset())
		}
		for at := 0; at < len(log) && at < (crash+1)*60; at += 20 {
			if err := v.Fold(log[at : at+20]); err != nil {
				t.Fatal(err)
			}
			if at%100 == 0 { // others on the database wait for the disk now and then
				if err := db.Set([]byte("other"), nil, pebble.Sync); err != nil {
					t.Fatal(err)
				}
			}
		}
		next := fs.CrashClone(vfs.CrashCloneCfg{})
		db.Close()
		fs = next
	}
	db := openDB(t, fs)
	defer db.Close()
	v := openView(t, pebblestore.New(db, []byte("i")))
	if err := v.Fold(log); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, v, mem)
}

// A store of another format is emptied, and nothing beside it.
func TestAnotherFormatIsBuiltAnew(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := pebblestore.New(db, []byte("i"))
	fact := canonical.Fact{Kind: canonical.FactLink, Nodes: []canonical.Identifier{{Scheme: canonical.Email, Value: "a"}, {Scheme: canonical.UserID, Value: "b"}}}
	if err := openView(t, s).Fold([]identity.Folded{{Offset: 0, Fact: fact}}); err != nil {
		t.Fatal(err)
	}
	beside := pebblestore.New(db, []byte("j"))
	if err := beside.Apply([]identity.Write{{Key: []byte("mformat"), Value: []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	want := openView(t, s).Digest()
	if err := s.Apply([]identity.Write{{Key: []byte("mformat"), Value: []byte{2}}}); err != nil {
		t.Fatal(err)
	}
	v := openView(t, s)
	if v.Offset() != -1 || len(v.Cluster(fact.Nodes[0].Node())) != 1 {
		t.Errorf("not empty: offset %d", v.Offset())
	}
	left := 0
	if err := s.Range(nil, nil, func(_, _ []byte) bool { left++; return true }); err != nil || left > 0 {
		t.Errorf("%d keys left, %v", left, err)
	}
	if _, ok, err := beside.Get([]byte("mformat")); !ok || err != nil {
		t.Error("a store beside it was emptied too")
	}
	if err := v.Fold([]identity.Folded{{Offset: 0, Fact: fact}}); err != nil || v.Digest() != want {
		t.Errorf("folded anew: another state, %v", err)
	}
}
