{{- define "penstock.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "penstock.selector" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ include "penstock.name" . }}
{{- end -}}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "penstock.secret" -}}
{{- if .Values.existingSecret -}}
{{ .Values.existingSecret }}
{{- else if .Values.secrets -}}
{{ include "penstock.name" . }}
{{- end -}}
{{- end -}}

{{- /* The storage of the log: `data` is a folder, or a section. */ -}}
{{- define "penstock.storage" -}}
{{- $data := .Values.settings.data -}}
{{- if kindIs "map" $data }}{{ $data.storage | default "local" }}{{ else }}local{{ end -}}
{{- end -}}
