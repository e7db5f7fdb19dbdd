package settings_test

import (
	"os"
	"testing"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	os.Exit(m.Run())
}
