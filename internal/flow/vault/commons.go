package vault

import (
	"context"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// commons are what many instances have in common, read once within one transaction: their vaults, their policies and their clusters.
type commons struct {
	view     catalogue.View
	vaults   map[string]keptVault
	policies map[string]keptPolicy
	clusters map[string]catalogue.Resource
}

type keptVault struct {
	resource catalogue.Resource
	settings decide.Settings
}

type keptPolicy struct {
	resource catalogue.Resource
	policy   retention.Policy
}

func newCommons(v catalogue.View) *commons {
	return &commons{view: v, vaults: map[string]keptVault{}, policies: map[string]keptPolicy{}, clusters: map[string]catalogue.Resource{}}
}

// vault is one, with its settings.
func (c *commons) vault(ctx context.Context, id catalogue.ID) (found keptVault, err error) {
	found, known := c.vaults[id.Key()]
	if known {
		return found, nil
	}
	if found.resource, err = c.view.Resource(ctx, id); err != nil {
		return found, err
	}
	if found.settings, err = settingsOf(found.resource); err != nil {
		return found, err
	}
	c.vaults[id.Key()] = found
	return found, nil
}

// policy is one, and as it is kept.
func (c *commons) policy(ctx context.Context, id catalogue.ID) (found keptPolicy, err error) {
	found, known := c.policies[id.Key()]
	if known {
		return found, nil
	}
	if found.policy, found.resource, err = readPolicy(ctx, c.view, id); err != nil {
		return found, err
	}
	c.policies[id.Key()] = found
	return found, nil
}

// cluster is one.
func (c *commons) cluster(ctx context.Context, id catalogue.ID) (catalogue.Resource, error) {
	if found, known := c.clusters[id.Key()]; known {
		return found, nil
	}
	return c.view.Resource(ctx, id)
}

// readClusters reads clusters, as far as they are there.
func (c *commons) readClusters(ctx context.Context, ids []catalogue.ID) error {
	found, err := among(ctx, c.view, ids)
	for key, r := range found {
		c.clusters[key] = r
	}
	return err
}

// protectedOf is what belongs to an instance.
func (c *commons) protectedOf(ctx context.Context, r catalogue.Resource) (p protected, err error) {
	p.resource = r
	in, err := c.vault(ctx, r.ID.Parent())
	if err != nil {
		return p, err
	}
	p.vault, p.settings = in.resource, in.settings
	if p.config, err = configurationOf(p.resource, p.settings.Location); err != nil {
		return p, err
	}
	followed, err := c.policy(ctx, p.config.Policy)
	p.policy, p.keptPolicy = followed.policy, followed.resource
	return p, err
}

// among are resources by their Keys, as far as they are there.
func among(ctx context.Context, v catalogue.View, ids []catalogue.ID) (map[string]catalogue.Resource, error) {
	found := map[string]catalogue.Resource{}
	if len(ids) == 0 {
		return found, nil
	}
	page, err := v.Resources(ctx, catalogue.ResourceQuery{Among: ids, Limit: pageSize})
	for _, r := range page {
		found[r.ID.Key()] = r
	}
	return found, err
}
