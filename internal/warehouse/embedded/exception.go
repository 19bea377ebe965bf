package embedded

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// ClickHouse's codes for what this server itself refuses.
const (
	codeNotImplemented     = 48
	codeSyntaxError        = 62
	codeUnknownFormat      = 73
	codeTimeout            = 159
	codeReadOnly           = 164
	codeTooManyQueries     = 202
	codeTooLarge           = 307
	codeOutfileNotAllowed  = 358
	codeSessionNotFound    = 372
	codeNotAllowed         = 446
	codeSessionLocked      = 373
	codeCancelled          = 394
	codeBadRequest         = 408
	codeAuthentication     = 516
	codeUnknownCompression = 89
	codeCannotDecompress   = 271
	codeUnknownException   = 1002
)

// An exception is an error as ClickHouse words it.
type exception struct {
	code    int
	message string // from "DB::Exception: " on, ending in the code's name in brackets
}

func (e *exception) Error() string {
	return fmt.Sprintf("Code: %d. DB::Exception: %s", e.code, e.message)
}

func refuse(code int, name, format string, args ...any) *exception {
	return &exception{code: code, message: fmt.Sprintf(format, args...) + ". (" + name + ")"}
}

var exceptionPrefix = regexp.MustCompile(`^(?:Code: (\d+)\. )?DB::[A-Za-z:]*Exception: `)

// parseException reads what the engine says of a failure. The engine may wrap the words several times.
func parseException(message string) *exception {
	e := &exception{code: codeUnknownException}
	rest := strings.TrimSpace(message)
	for {
		m := exceptionPrefix.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		if code, err := strconv.Atoi(m[1]); err == nil {
			e.code = code
		}
		rest = rest[len(m[0]):]
	}
	e.message = rest
	return e
}

// statuses is how ClickHouse's HTTP interface answers each code; what is not here is 500.
var statuses = func() map[int]int {
	table := map[int]int{}
	for status, codes := range map[int][]int{
		http.StatusUnauthorized: {194},
		http.StatusForbidden:    {192, 193, codeNotAllowed, 497, codeAuthentication},
		http.StatusBadRequest: {6, 25, 26, 27, 33, 37, 38, 41, 53, codeSyntaxError, 72, 117, 123, 167, 168, 223, 321, 376, 441, 467, 675, 676,
			codeUnknownCompression, codeCannotDecompress, codeBadRequest, 457},
		http.StatusNotFound:              {46, 47, 50, 56, 60, 63, codeUnknownFormat, 78, 81, 115, 152, 336, 511, codeSessionNotFound},
		http.StatusRequestTimeout:        {codeTimeout},
		http.StatusLengthRequired:        {381},
		http.StatusRequestEntityTooLarge: {229, codeTooLarge},
		http.StatusNotImplemented:        {codeNotImplemented},
		http.StatusServiceUnavailable:    {76, codeTooManyQueries, 209, 439},
	} {
		for _, code := range codes {
			table[code] = status
		}
	}
	return table
}()

func (e *exception) status() int {
	if status, ok := statuses[e.code]; ok {
		return status
	}
	return http.StatusInternalServerError
}
