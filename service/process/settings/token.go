package settings

import (
	"strings"

	"github.com/clusterlite/clusterlite/service/process/reload"
)

// OpenToken returns the current value of a token that is given as a value or in a file, or nil if it
// is given in neither way. Space around the token in the file does not belong to it. A replaced file
// takes effect within a second. check rejects tokens that can't be used. If a replaced file can't be
// read or has such a token, the error goes to report, and the token stays as it was.
func OpenToken(value, path string, check func(token string) error, report func(error)) (func() string, error) {
	if path == "" {
		if value == "" {
			return nil, nil
		}
		return func() string { return value }, nil
	}
	file, err := reload.Open(func(contents [][]byte) (string, error) {
		token := strings.TrimSpace(string(contents[0]))
		return token, check(token)
	}, report, path)
	if err != nil {
		return nil, err
	}
	return file.Get, nil
}
