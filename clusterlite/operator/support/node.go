package support

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/overview"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node/diagnostics"
)

// maxFile bounds what is taken of one answer of a node.
const maxFile = 32 << 20

// A file is a part of the archive.
type file struct {
	name    string
	content []byte
}

// A bundle is what was collected from one node.
type bundle struct {
	name    string // as the node says it; empty if it did not answer
	files   []file
	missing []string
}

// parts are the resources of a node, and the files that they become. The first one shows whether
// the node answers.
var parts = []struct{ path, file string }{
	{"/status", "status.json"},
	{"/readyz", "ready.json"},
	{diagnostics.SettingsPath, "settings.json"},
	{"/metrics", "metrics.txt"},
	{diagnostics.LogPath, "log.txt"},
	{diagnostics.GoroutinesPath, "goroutines.txt"},
	{"/voids?limit=100", "voids.json"},
}

// gather collects from one node. What it can't get is noted.
func gather(ctx context.Context, n nodes.Node) (b bundle) {
	if err := n.Get(ctx, "/livez", new(struct{})); err != nil {
		b.missing = append(b.missing, err.Error())
		return b // each further request would wait as long
	}
	for _, p := range parts {
		content, err := fetch(ctx, n, p.path)
		if err != nil {
			b.missing = append(b.missing, fmt.Sprintf("%s: %v", p.path, err))
			continue
		}
		if p.path == "/status" {
			var status struct{ Node string }
			if json.Unmarshal(content, &status) == nil {
				b.name = status.Node
			}
		}
		b.files = append(b.files, file{p.file, content})
	}
	return b
}

func fetch(ctx context.Context, n nodes.Node, path string) ([]byte, error) {
	response, err := n.Do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
	if err != nil {
		return nil, err
	}
	var pretty bytes.Buffer
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && json.Indent(&pretty, content, "", "  ") == nil {
		return pretty.Bytes(), nil
	}
	return content, nil
}

// folderOf returns a name for the files of a node that no other node has.
func folderOf(n nodes.Node, b bundle, used map[string]bool) string {
	name := n.Node
	if name == "" {
		name = b.name
	}
	if name == "" {
		name = n.Admin
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/\\:[]", r) {
			return '-'
		}
		return r
	}, name)
	for used[name] {
		name += "-again"
	}
	used[name] = true
	return name
}

// topic describes the topic and its brokers.
type topic struct {
	overview.Topic
	// Unfit says why the topic can lose events; empty if it can't.
	Unfit      string            `json:"unfit,omitempty"`
	Controller int32             `json:"controller"`
	Brokers    []overview.Broker `json:"brokers"`
}

func describe(name string, h eventlog.Health) topic {
	t := topic{Topic: overview.TopicOf(name, h), Controller: h.Controller, Brokers: overview.BrokersOf(h)}
	if h.Unfit != nil {
		t.Unfit = h.Unfit.Error()
	}
	return t
}
