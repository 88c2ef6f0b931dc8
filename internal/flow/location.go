package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// Own makes sure that a cluster is the one that writes to a container, and returns the owner: a container that nobody
// owns and that holds nothing foreign is claimed for me. Of clusters that claim at once one wins. If the container is
// another's, the error has CodeLocationNotReady, and the owner is returned with it.
func Own(ctx context.Context, c coffer.Container, me ownership.Owner) (ownership.Owner, error) {
	owner, err := OwnerOf(ctx, c)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		owner, err = claim(ctx, c, me)
	}
	if err != nil {
		return ownership.Owner{}, err
	}
	if owner.Cluster == me.Cluster {
		return owner, nil
	}
	return owner, coffer.Errorf(coffer.CodeLocationNotReady, "%s writes to this container since %s", owner, owner.Since.UTC().Format(time.RFC3339)).
		WithHint("set readOnly on the BackupStorageLocation to restore from it, choose another container or prefix, " +
			"or take it over with `coffer storage-location take-over NAME` once that cluster is gone for good")
}

// OwnerOf reads who owns a container; ErrBlobNotFound is nobody.
func OwnerOf(ctx context.Context, c coffer.Container) (ownership.Owner, error) {
	data, err := getAll(ctx, c, ownership.Key, ownership.MaxSize)
	if err != nil {
		return ownership.Owner{}, err
	}
	return ownership.Decode(data)
}

func claim(ctx context.Context, c coffer.Container, me ownership.Owner) (ownership.Owner, error) {
	if lister, ok := c.(coffer.TopLister); ok {
		top, err := lister.Top(ctx)
		if err != nil {
			return ownership.Owner{}, err
		}
		if foreign := ownership.Foreign(top); len(foreign) > 0 {
			return ownership.Owner{}, coffer.Errorf(coffer.CodeLocationNotReady, "the container holds what is neither Coffer's nor Velero's: %s", quotedSome(foreign)).
				WithHint("choose an empty container, or a prefix in this one; nothing was written")
		}
	}
	data, err := ownership.Encode(me)
	if err != nil {
		return ownership.Owner{}, fmt.Errorf("encode %s: %w", ownership.Key, err)
	}
	_, err = c.Put(ctx, ownership.Key, bytes.NewReader(data))
	if errors.Is(err, coffer.ErrBlobExists) {
		return OwnerOf(ctx, c)
	}
	return me, err
}

// TakeOver makes a cluster the owner of a container that a certain other owns. If that one owns it no more, nothing is
// done: the order was given about somebody else.
func TakeOver(ctx context.Context, c coffer.Container, from string, me ownership.Owner) error {
	owner, err := OwnerOf(ctx, c)
	if errors.Is(err, coffer.ErrBlobNotFound) || err == nil && owner.Cluster != from {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.Delete(ctx, ownership.Key); err != nil {
		return err
	}
	_, err = Own(ctx, c, me)
	return err
}

// CountPoints is how many recovery points a container holds.
func CountPoints(ctx context.Context, c coffer.Container) (int64, error) {
	var n int64
	for info, err := range c.List(ctx, recoverypoint.Root) {
		if err != nil {
			return 0, err
		}
		if folder, ok := strings.CutSuffix(info.Key, "/manifest.json"); ok && path.Dir(folder)+"/" == recoverypoint.Root {
			n++
		}
	}
	return n, nil
}

// own refuses a location that another cluster writes to.
func (c Config) own(ctx context.Context, l Location) error {
	cluster, err := c.clusterUID(ctx)
	if err != nil {
		return err
	}
	_, err = Own(ctx, l.Container, ownership.Owner{Cluster: cluster, Name: c.ClusterName, Since: c.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return fmt.Errorf("BackupStorageLocation %s: %w", l.Name, err)
	}
	return nil
}

func (c Config) clusterUID(ctx context.Context) (string, error) {
	body, err := c.Cluster.Get(ctx, namespaceType, "", "kube-system")
	if err != nil {
		return "", err
	}
	return uidOf(body)
}

// quotedSome is someOf for names that may hold anything.
func quotedSome(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return someOf(quoted)
}
