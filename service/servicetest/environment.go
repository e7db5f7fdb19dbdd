package servicetest

import (
	"os"
	"strings"
)

// ClearSettings removes the variables of ClusterLite from the environment, so that the programs
// under test read only the settings of the test, and do not warn about variables for tests. Call
// it from TestMain.
func ClearSettings() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CLUSTERLITE_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
}
