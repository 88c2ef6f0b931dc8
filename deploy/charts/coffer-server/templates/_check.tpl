{{/* What fits no server, or one that would lose something, is refused before anything is made. */}}
{{- define "server.check" -}}
{{- include "server.checkDatabase" . }}
{{- include "server.checkCertificate" . }}
{{- include "server.checkAddress" . }}
{{- range .Values.extraArgs }}
{{- if regexMatch "^--database($|=)" . }}
{{- fail "extraArgs has --database: everybody who may see pods could read its password; set database.type=postgres and database.secret" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "server.checkDatabase" -}}
{{- $v := .Values }}
{{- if not (include "server.postgres" .) }}
{{- if include "server.several" . }}
{{- fail (printf "replicas is %d, and SQLite is for one: set replicas=1, or database.type=postgres" (int $v.replicas)) }}
{{- end }}
{{- if $v.database.secret }}
{{- fail "database.secret is for PostgreSQL: set database.type=postgres, or leave it empty" }}
{{- end }}
{{- else }}
{{- if not $v.database.secret }}
{{- fail "database.secret is empty: put the line `database: postgres://USER:PASSWORD@HOST/NAME` into config.yaml, run `kubectl create secret generic coffer-database --from-file=config.yaml`, and set database.secret=coffer-database" }}
{{- end }}
{{- if $v.persistence.existingClaim }}
{{- fail "persistence.existingClaim is for SQLite: with PostgreSQL nothing is kept in a volume; leave it empty" }}
{{- end }}
{{- if not (or $v.encryption.secret $v.encryption.keyService) }}
{{- fail "encryption.secret is empty: a database that replicas share needs a key that they share. Run `head -c 32 /dev/urandom | base64 > encryption.key`, keep a copy of it, run `kubectl create secret generic coffer-encryption --from-file=encryption.key`, and set encryption.secret=coffer-encryption; or set encryption.keyService" }}
{{- end }}
{{- if not $v.administrator.secret }}
{{- fail "administrator.secret is empty: the replica that makes the first administrator may be gone before anybody has its credential. Run `coffer-server new-credential > credential.json` and `kubectl create secret generic coffer-administrator --from-file=credential.json`, and set administrator.secret=coffer-administrator" }}
{{- end }}
{{- end }}
{{- if and $v.encryption.secret $v.encryption.keyService }}
{{- fail "encryption.secret and encryption.keyService are two keys: set one of them" }}
{{- end }}
{{- if and $v.encryption.keyService (not (regexMatch "^(awskms|azurekeyvault|gcpkms)://" $v.encryption.keyService)) }}
{{- fail "encryption.keyService is the url of a key of a KMS: awskms://…, azurekeyvault://… or gcpkms://…; a key itself belongs into a Secret, see encryption.secret" }}
{{- end }}
{{- end }}

{{- define "server.checkCertificate" -}}
{{- $t := .Values.tls }}
{{- if and $t.secret (not (and $t.certificate $t.key)) }}
{{- fail "tls.certificate and tls.key go together: they name the keys of the Secret tls.secret that have the certificate and its private key, tls.crt and tls.key as a rule" }}
{{- end }}
{{- if and (not $t.secret) (or (ne $t.certificate "tls.crt") (ne $t.key "tls.key")) }}
{{- fail "tls.certificate and tls.key name keys of the Secret tls.secret, which is empty: set it, or leave all three for the server's own certificate" }}
{{- end }}
{{- $o := .Values.oidc }}
{{- if and $o.issuer (not $o.audience) }}
{{- fail "oidc.issuer without oidc.audience would take tokens that are for others: set both, or none" }}
{{- end }}
{{- if and (not $o.issuer) (or $o.audience $o.objectIDClaim $o.nameClaim $o.groupsClaim) }}
{{- fail "oidc.issuer is empty, and other values of oidc are not: set it, or none of them" }}
{{- end }}
{{- if and $o.issuer (not (regexMatch "^https://[^/?#@[:space:]]+" $o.issuer)) }}
{{- fail (printf "oidc.issuer %q is not an https url" $o.issuer) }}
{{- end }}
{{- end }}

{{- define "server.checkAddress" -}}
{{- $v := .Values }}
{{- if and $v.url (not (regexMatch "^https://([a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?$" $v.url)) }}
{{- fail (printf "url %q is not of the form https://HOST or https://HOST:PORT, without a path or a slash at its end" $v.url) }}
{{- end }}
{{- if and ($v.link).address (not $v.link.enabled) }}
{{- fail "link.address is set, and link.enabled is false: connectors would be sent to a server that does not listen" }}
{{- end }}
{{- if and ($v.link).address (not (regexMatch "^([a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$" $v.link.address)) }}
{{- fail (printf "link.address %q is not of the form HOST:PORT" $v.link.address) }}
{{- end }}
{{- if and ($v.link).enabled (not $v.link.address) (ne (int $v.link.port) 8445) }}
{{- fail (printf "link.port is %d, and link.address is empty: set it to what connectors are to dial, such as %s:%d" (int $v.link.port) (include "server.host" .) (int $v.link.port)) }}
{{- end }}
{{- if and (not $v.url) (ne (int $v.service.port) 8443) }}
{{- fail (printf "service.port is %d, and url is empty: set url to what clients are to use, such as https://%s:%d" (int $v.service.port) (include "server.host" .) (int $v.service.port)) }}
{{- end }}
{{- end }}
