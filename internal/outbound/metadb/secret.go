package metadb

import (
	"context"
	"database/sql"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Secrets reads all of a resource.
func (v *view) Secrets(ctx context.Context, owner catalogue.ID) ([]catalogue.Secret, error) {
	of, err := v.existing(ctx, owner)
	if err != nil || of == nil {
		return nil, err
	}
	var found []catalogue.Secret
	err = v.each(ctx, "read secrets", func(row scanner) error {
		s := catalogue.Secret{Owner: of.id}
		var expires sql.NullInt64
		err := row.Scan(&s.Name, &s.Sealed, &expires)
		s.Expires = fromMaybe(expires)
		found = append(found, s)
		return err
	}, "SELECT name, sealed, expires FROM secrets WHERE resource = $1 ORDER BY name", of.row)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// PutSecret creates or replaces one.
func (t *transaction) PutSecret(ctx context.Context, s catalogue.Secret) error {
	if err := checkText(key("owner of a secret", s.Owner), word("name of a secret", s.Name)); err != nil {
		return err
	}
	n, err := t.exec(ctx, "write a secret",
		"INSERT INTO secrets (resource, name, sealed, expires) SELECT id, $1, $2, $3 FROM resources WHERE key = $4"+
			" ON CONFLICT (resource, name) DO UPDATE SET sealed = excluded.sealed, expires = excluded.expires",
		s.Name, bytes(s.Sealed), maybe(s.Expires), s.Owner.Key())
	if err == nil && n == 0 {
		err = noResource(s.Owner)
	}
	return err
}

// DeleteSecret deletes one.
func (t *transaction) DeleteSecret(ctx context.Context, owner catalogue.ID, name string) error {
	missing := notFound("the secret %q of %s was not found", name, owner)
	if !findable(key("owner", owner), word("name", name)) {
		return missing
	}
	n, err := t.exec(ctx, "delete a secret",
		"DELETE FROM secrets WHERE name = $1 AND resource = (SELECT id FROM resources WHERE key = $2)", name, owner.Key())
	if err == nil && n == 0 {
		err = missing
	}
	return err
}
