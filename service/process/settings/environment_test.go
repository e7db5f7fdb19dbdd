package settings_test

import (
	"os"
	"strings"
	"testing"
)

// Settings in the environment of the tests must not reach the parser under test.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CLUSTERLITE_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}
