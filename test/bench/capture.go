package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/test/interop"
)

// capturePrefix is how the namespaces of the capture rows are called.
const capturePrefix = "capture"

// capture measures a whole Backup of n objects against reading the same lists and throwing them away, and the peak of the
// memory of the process that does it against 160 MiB. The objects stay: a larger row adds to them, and nothing comes after.
func (b *bench) capture(ctx context.Context, n int) ([]row, error) {
	name := fmt.Sprintf("capture-%dk", n/1000)
	namespaces, objects := mixed(capturePrefix, n)
	if b.captured < n {
		say("%s: creating %d objects in %d namespaces", name, n-b.captured, len(namespaces))
		if err := errors.Join(createNamespaces(ctx, b.cluster, namespaces), createAll(ctx, b.cluster, objects[b.captured:])); err != nil {
			return nil, err
		}
		b.captured = n
	}
	// Its peak is to be of this alone.
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	var ours, reference []float64
	for i := range repetitions {
		listed, took, err := b.listAll(ctx)
		if err != nil {
			return nil, err
		}
		reference = append(reference, took.Seconds())
		backup := fmt.Sprintf("%s-%d-%d", name, os.Getpid(), i)
		took, err = b.backUp(ctx, backup, nil)
		if err != nil {
			return nil, err
		}
		ours = append(ours, took.Seconds())
		say("%s: %d objects listed in %.2fs, backed up in %.2fs", name, listed, reference[i], ours[i])
		if err := b.deleteBackup(ctx, backup); err != nil {
			return nil, err
		}
	}
	peak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	const mebi = 1 << 20
	return []row{
		newRow(name, ours, reference, "s", "<= 2.0", "whole Backup against a raw paged LIST by one connection"),
		newRow(fmt.Sprintf("capture-memory-%dk", n/1000), []float64{float64(peak) / mebi}, []float64{160}, "MiB", "<= 1.0",
			"peak resident memory of the capturing process, of all repetitions, against the budget"),
	}, nil
}

// listAll reads every list of the cluster, page by page over one connection, and does nothing with it.
func (b *bench) listAll(ctx context.Context) (objects int, took time.Duration, err error) {
	types, _, err := b.cluster.Types(ctx)
	if err != nil {
		return 0, 0, err
	}
	one := rest.CopyConfig(b.config)
	// Compression costs more than it saves on the way: without it, the reference is faster.
	one.DisableCompression = true
	transport, err := rest.HTTPClientFor(one)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for _, t := range types {
		token := ""
		for {
			path := b.config.Host + "/apis/" + t.Group + "/" + t.Version + "/" + t.Resource
			if t.Group == "" {
				path = b.config.Host + "/api/" + t.Version + "/" + t.Resource
			}
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?limit=500&continue="+token, nil)
			if err != nil {
				return 0, 0, err
			}
			answer, err := transport.Do(request)
			if err != nil {
				return 0, 0, err
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				return 0, 0, errors.Join(fmt.Errorf("list %s: the API server answers %s", t.GroupResource, answer.Status), err)
			}
			var page struct {
				Metadata struct{ Continue string }
				Items    []json.RawMessage
			}
			if err := json.Unmarshal(body, &page); err != nil {
				return 0, 0, err
			}
			objects += len(page.Items)
			if token = page.Metadata.Continue; token == "" {
				break
			}
		}
	}
	return objects, time.Since(began), nil
}
