package simulator

import (
	"reflect"
	"testing"
)

// parse takes what encoding/json takes, and reads the same of it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e+3,"x\u00e9\n",true,false,null,{}],"b":{"a":""},"a":0}`, `[]`, `"\ud800"`, "\"\xff\"", `01`, `1.`, `-`, `1e`, `.5`, `[1,]`, `{"a"}`, `{"a":1,}`,
		` 7 `, `nul`, `truex`, `"a`, "\"\t\"", `"\x"`, `[[[[]]]]`, ``, `{} {}`, `0e0`, `-0`, `{"é":1}`, `"\"`, `"\\"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parse(s)
		want, wantErr := decode([]byte(s))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", s, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, and to encoding/json %#v", s, got, want)
		}
	})
}
