package telemetry

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

// A check returns what a variable may hold instead, or nothing if its value is good.
type check func(value string) (allowed string)

// CheckVariables rejects invalid OTEL_… variables, if traces are configured: the library
// would ignore them silently, only log a line, or return an error that does not name them.
// The error is a *settings.UsageError.
func CheckVariables(getenv func(string) string) error {
	reject := func(allows check, names ...string) error {
		for _, name := range names {
			value := strings.TrimSpace(getenv(name))
			if value == "" {
				continue
			}
			if allowed := allows(value); allowed != "" {
				return &settings.UsageError{Err: fmt.Errorf("%s is %q; allowed: %s", name, getenv(name), allowed)}
			}
		}
		return nil
	}
	if err := reject(boolean, "OTEL_SDK_DISABLED"); err != nil || !wanted(getenv) {
		return err
	}
	if err := reject(oneOf("otlp", "console", "none"), "OTEL_TRACES_EXPORTER"); err != nil {
		return err
	}
	checks := []struct {
		check check
		names []string
	}{
		{oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"), []string{"OTEL_TRACES_SAMPLER"}},
		{pairs, []string{"OTEL_RESOURCE_ATTRIBUTES"}},
		{wholeNumber, []string{
			"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
			"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
		}},
	}
	if strings.HasSuffix(getenv("OTEL_TRACES_SAMPLER"), "traceidratio") {
		checks = append(checks, struct {
			check check
			names []string
		}{ratio, []string{"OTEL_TRACES_SAMPLER_ARG"}})
	}
	if exporter := getenv("OTEL_TRACES_EXPORTER"); exporter == "" || exporter == "otlp" {
		for suffix, allows := range map[string]check{
			"ENDPOINT": endpoint(protocol(getenv) == "grpc"), "PROTOCOL": oneOf("http/protobuf", "grpc"), "COMPRESSION": oneOf("gzip", "none"),
			"TIMEOUT": wholeNumber, "HEADERS": pairs, "INSECURE": boolean,
		} {
			checks = append(checks, struct {
				check check
				names []string
			}{allows, []string{"OTEL_EXPORTER_OTLP_" + suffix, "OTEL_EXPORTER_OTLP_TRACES_" + suffix}})
		}
	}
	for _, c := range checks {
		if err := reject(c.check, c.names...); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(words ...string) check {
	return func(value string) string {
		if slices.Contains(words, value) {
			return ""
		}
		return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	}
}

// endpoint checks a URL. For gRPC, host:port is valid too, as in the library.
func endpoint(grpc bool) check {
	return func(value string) string {
		u, err := url.Parse(value)
		if err == nil && u.Host != "" && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") && validPort(u.Port()) {
			return ""
		}
		if err == nil && grpc && (u.Scheme == "unix" && u.Path+u.Opaque != "" || u.Host == "" && u.Opaque != "" && validPort(u.Opaque)) {
			return ""
		}
		return "a URL such as http://collector:4318"
	}
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func wholeNumber(value string) string {
	if n, err := strconv.Atoi(value); err != nil || n < 0 {
		return "a whole number of at least 0; times are in milliseconds"
	}
	return ""
}

func ratio(value string) string {
	if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) {
		return "a number from 0 to 1, such as 0.01"
	}
	return ""
}

func boolean(value string) string {
	return oneOf("true", "false")(strings.ToLower(value))
}

func pairs(value string) string {
	for pair := range strings.SplitSeq(value, ",") {
		name, text, found := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(strings.TrimSpace(text)); !found || strings.TrimSpace(name) == "" || err != nil {
			return "a list such as name=value,other=value, with special characters as %XX"
		}
	}
	return ""
}
