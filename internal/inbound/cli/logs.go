package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newBackupLogs() *cobra.Command {
	return p.newLogs("backup", "Backup", func(name string) (client.Object, func() v1alpha1.RunPhase) {
		b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		return b, func() v1alpha1.RunPhase { return b.Status.Phase }
	})
}

func (p *program) newRestoreLogs() *cobra.Command {
	return p.newLogs("restore", "Restore", func(name string) (client.Object, func() v1alpha1.RunPhase) {
		r := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		return r, func() v1alpha1.RunPhase { return r.Status.Phase }
	})
}

func (p *program) newLogs(noun, kind string, object func(name string) (client.Object, func() v1alpha1.RunPhase)) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs NAME", Short: "Print what a " + noun + " has done, line by line", Args: oneName(noun),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			run, phase := object(args[0])
			return p.logs(cmd.Context(), c, noun, kind, run, phase, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the "+noun+" has ended")
	return cmd
}

// logs prints the log of a run, and what is added to it until the run has ended.
func (p *program) logs(ctx context.Context, c client.Client, noun, kind string, run client.Object, phase func() v1alpha1.RunPhase, follow bool) error {
	name, printed := run.GetName(), 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := c.Get(ctx, client.ObjectKeyFromObject(run), run)
		if apierrors.IsNotFound(err) {
			return missing(noun, noun, name)
		}
		if err != nil {
			return fmt.Errorf("logs of %s %s: %w", noun, name, err)
		}
		text, err := p.readLog(ctx, c, kind, name)
		if err != nil {
			return fmt.Errorf("logs of %s %s: %w", noun, name, err)
		}
		if _, err := p.Out.Write(text[min(printed, len(text)):]); err != nil {
			return err
		}
		printed = len(text)
		if !follow || phase().Final() {
			if printed == 0 {
				_, err = fmt.Fprintf(p.Err, "%s %s has no log yet: no Backup extension has picked it up.\n", noun, name)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// readLog is the text of a run's log; empty if there is none yet.
func (p *program) readLog(ctx context.Context, c client.Client, kind, name string) ([]byte, error) {
	var kept corev1.ConfigMap
	err := c.Get(ctx, p.key(v1alpha1.RunLogName(kind, name)), &kept)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(kept.BinaryData[v1alpha1.RunLogField]))
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s does not hold a log: %w", kept.Name, err)
	}
	// The extension writes no more than some megabytes; anybody may write more.
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(zip, most))
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s does not hold a log: %w", kept.Name, err)
	}
	return text, nil
}
