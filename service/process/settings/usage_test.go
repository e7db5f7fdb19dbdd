package settings_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

// typed has a setting of each type.
type typed struct {
	Size   settings.ByteSize `name:"max-body" env:"CLUSTERLITE_MAX_BODY" default:"1MiB" placeholder:"SIZE"`
	Count  int               `name:"max-requests" env:"CLUSTERLITE_MAX_REQUESTS" default:"1" placeholder:"N"`
	Wait   time.Duration     `name:"read-wait" env:"CLUSTERLITE_READ_WAIT" default:"2s" placeholder:"DURATION"`
	Format string            `name:"log-format" env:"CLUSTERLITE_LOG_FORMAT" enum:"text,json" default:"text"`
	Addr   string            `name:"http-addr" env:"CLUSTERLITE_HTTP_ADDR" default:":1" placeholder:"HOST:PORT"`
	List   []string          `name:"kafka-brokers" env:"CLUSTERLITE_KAFKA_BROKERS" default:"a:1" placeholder:"HOST:PORT"`
	Watch  bool              `name:"watch" env:"CLUSTERLITE_WATCH"`
}

type commands struct {
	Run   typed `cmd:"" help:"Run."`
	Under struct {
		One typed    `cmd:"" help:"One."`
		Two struct{} `cmd:"" help:"Two."`
	} `cmd:"" help:"More."`
}

func parseCommands(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	_, err = settings.Program{Name: "test", Help: "A test.", Version: "v0"}.Parse(&commands{}, args, &out, &errs)
	return out.String(), errs.String(), err
}

func wantUsage(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	var usage *settings.UsageError
	if !errors.As(err, &usage) {
		t.Errorf("%s: got %v, want a usage error", what, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %q, want it to have %q", what, err, part)
		}
	}
	for _, raw := range []string{"EOL", "envar", "%!"} {
		if strings.Contains(err.Error(), raw) {
			t.Errorf("%s: got %q, want it without %q", what, err, raw)
		}
	}
}

// The error for an invalid value has the names of the setting, the value, and what is
// allowed, regardless of where the value comes from.
func TestValuesThatCannotBeRead(t *testing.T) {
	for _, bad := range []struct{ flag, value, allowed string }{
		{"read-wait", "abc", "a duration such as 500ms, 2s or 1m"}, {"read-wait", "5", "a duration such as"}, {"read-wait", "", "a duration such as"},
		{"max-body", "big", "such as 1MiB"}, {"max-body", "1.5MiB", "such as 1MiB"}, {"max-body", "", "such as 1MiB"}, {"max-body", "-1", "such as 1MiB"},
		{"max-requests", "many", "a whole number such as 100"}, {"max-requests", "1.5", "a whole number"}, {"max-requests", "99999999999999999999", "a whole number"}, {"max-requests", "", "a whole number"},
		{"log-format", "xml", "text or json"}, {"log-format", "", "text or json"},
	} {
		variable := "CLUSTERLITE_" + strings.ToUpper(strings.ReplaceAll(bad.flag, "-", "_"))
		want := []string{"--" + bad.flag, variable, `is "` + bad.value + `"`, bad.allowed, "See test run --help"}
		_, _, err := parseCommands("run", "--"+bad.flag+"="+bad.value)
		wantUsage(t, "--"+bad.flag+"="+bad.value, err, want...)
		t.Run(variable+"="+bad.value, func(t *testing.T) {
			t.Setenv(variable, bad.value)
			_, _, err := parseCommands("run")
			wantUsage(t, variable+"="+bad.value, err, want...)
		})
	}
	_, _, err := parseCommands("run", "--watch=perhaps")
	wantUsage(t, "--watch=perhaps", err, "--watch", "true", "perhaps", "See test run --help")
}

func TestFlagsWithoutAValue(t *testing.T) {
	for flag, example := range map[string]string{
		"http-addr": "HOST:PORT", "read-wait": "DURATION", "max-body": "SIZE", "max-requests": "N", "kafka-brokers": "HOST:PORT", "log-format": "text",
	} {
		for _, args := range [][]string{{"run", "--" + flag}, {"run", "--" + flag, "--watch"}, {"under", "one", "--" + flag}} {
			_, _, err := parseCommands(args...)
			wantUsage(t, strings.Join(args, " "), err, "--"+flag+" (CLUSTERLITE_", "needs a value: --"+flag+"="+example)
		}
	}
}

func TestUnknownFlagsAndCommands(t *testing.T) {
	for _, c := range []struct{ line, meant, help string }{
		{"run --http-adr=x", "--http-addr", "test run --help"}, {"run --kafka-broker=x", "--kafka-brokers", "test run --help"}, {"run --reed-wait=1s", "--read-wait", "test run --help"},
		{"run --order=x", "", "test run --help"}, {"run --w", "", "test run --help"}, {"run --all", "", "test run --help"}, {"run --hop", "", "test run --help"},
		{"rum", "run", "test --help"}, {"dance", "", "test --help"}, {"ruin", "run", "test --help"}, {"u", "", "test --help"}, {"under on", "", "test under --help"}, {"under onne", "one", "test under --help"},
		{"run extra", "", "test run --help"}, {"--nothing", "", "test --help"},
	} {
		_, _, err := parseCommands(strings.Fields(c.line)...)
		wantUsage(t, c.line, err, "See "+c.help)
		if err == nil {
			continue
		}
		if guessed := strings.Contains(err.Error(), " mean "); guessed != (c.meant != "") || c.meant != "" && !strings.Contains(err.Error(), "Did you mean "+c.meant+"?") {
			t.Errorf("%s: got %q, want the guess %q", c.line, err, c.meant)
		}
	}
}

// Without a command, the whole help is printed, with the exit status of a usage error.
func TestNoCommandIsNamed(t *testing.T) {
	for line, parts := range map[string][]string{"": {"run", "under one", "under two", "--help"}, "under": {"one", "two"}} {
		stdout, stderr, err := parseCommands(strings.Fields(line)...)
		wantUsage(t, line, err, "a command is required")
		if stdout != "" {
			t.Errorf("%q: got %q on standard output, want nothing", line, stdout)
		}
		for _, part := range parts {
			if !strings.Contains(stderr, part) {
				t.Errorf("%q: got help without %q, want it:\n%s", line, part, stderr)
			}
		}
	}
}
