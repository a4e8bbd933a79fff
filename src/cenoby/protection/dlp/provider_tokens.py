"""Keys and tokens that their providers gave a prefix, so that they can be recognised wherever they stand.

The formats are those that the providers publish, or that their keys show. A prefix counts only where no letter or digit
stands before it, and a token ends where its alphabet does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found

_TABLE = """
adafruit_key aio_ [A-Za-z0-9]{28}
age_key AGE-SECRET-KEY-1 [0-9A-Z]{58}
airtable_token pat [A-Za-z0-9]{14}\\.[a-fA-F0-9]{64}
alibaba_key LTAI [A-Za-z0-9]{12,24}
anthropic_key sk-ant- [A-Za-z0-9_-]{16,}
artifactory_token AKCp [A-Za-z0-9]{60,}
artifactory_token cmVmd [A-Za-z0-9]{59}
asaas_key $aact_ [A-Za-z0-9_:=$-]{40,}
atlassian_token ATATT3 [A-Za-z0-9_=-]{100,}
atlassian_token ATCTT3 [A-Za-z0-9_=-]{100,}
atlassian_token ATBB [A-Za-z0-9]{24,32}
aws_key AKIA [A-Z0-9]{16}
aws_key ASIA [A-Z0-9]{16}
aws_key ABIA [A-Z0-9]{16}
aws_key ACCA [A-Z0-9]{16}
aws_key ABSK [A-Za-z0-9+/]{60,}={0,2}
aws_mws_key amzn.mws. [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
aws_oauth_secret amzn1.oa2-cs.v1. [a-fA-F0-9]{64}
brevo_key xkeysib- [a-fA-F0-9]{64}-[A-Za-z0-9]{16}
brevo_key xsmtpsib- [a-fA-F0-9]{64}-[A-Za-z0-9]{16}
buildkite_token bkua_ [a-fA-F0-9]{40}
cargo_token cio [A-Za-z0-9]{32}
cenoby_token cby_ [A-Za-z0-9_-]{40,}
cerebras_key csk- [a-z0-9]{40,}
circleci_token CCIPAT_ [A-Za-z0-9]{22}_[a-fA-F0-9]{40}
clojars_token CLOJARS_ [a-z0-9]{60}
contentful_token CFPAT- [A-Za-z0-9_-]{43}
databricks_token dapi [a-fA-F0-9]{32}(?:-[0-9])?
digitalocean_token dop_v1_ [a-fA-F0-9]{64}
digitalocean_token doo_v1_ [a-fA-F0-9]{64}
digitalocean_token dor_v1_ [a-fA-F0-9]{64}
docker_token dckr_pat_ [A-Za-z0-9_-]{27,}
docker_token dckr_oat_ [A-Za-z0-9_-]{32,}
doppler_token dp.pt. [A-Za-z0-9]{40,44}
doppler_token dp.st. (?:[a-z0-9_-]{2,35}\\.)?[A-Za-z0-9]{40,44}
doppler_token dp.ct. [A-Za-z0-9]{40,44}
doppler_token dp.sa. [A-Za-z0-9]{40,44}
doppler_token dp.scim. [A-Za-z0-9]{40,44}
doppler_token dp.audit. [A-Za-z0-9]{40,44}
duffel_token duffel_ (?:test|live)_[A-Za-z0-9_=-]{43}
dynatrace_token dt0c01. [A-Z0-9]{24}\\.[A-Z0-9]{64}
dynatrace_token dt0s16. [A-Z0-9]{8}\\.[A-Z0-9]{64}
easypost_key EZAK [A-Za-z0-9]{54}
easypost_key EZTK [A-Za-z0-9]{54}
facebook_token EAAM [A-Za-z0-9]{80,}
facebook_token EAAC [A-Za-z0-9]{80,}
figma_token figd_ [A-Za-z0-9_-]{38,}
figma_token figu_ [A-Za-z0-9_-]{38,}
fireworks_key fw_ [A-Za-z0-9]{22,}
flutterwave_key FLWSECK_TEST- [A-Za-z0-9]{12,32}(?:-X)?
flutterwave_key FLWSECK- [A-Za-z0-9]{12,32}(?:-X)?
fly_token fo1_ [A-Za-z0-9_-]{43}
fly_token fm1a_ [A-Za-z0-9+/=_-]{80,}
fly_token fm1r_ [A-Za-z0-9+/=_-]{80,}
fly_token fm2_ [A-Za-z0-9+/=_-]{80,}
frameio_token fio-u- [A-Za-z0-9_=-]{64}
github_token ghp_ [A-Za-z0-9]{30,}
github_token gho_ [A-Za-z0-9]{30,}
github_token ghu_ [A-Za-z0-9]{30,}
github_token ghs_ [A-Za-z0-9]{30,}
github_token ghr_ [A-Za-z0-9]{30,}
github_token github_pat_ [A-Za-z0-9_]{22,}
gitlab_token glpat- [A-Za-z0-9_.-]{20,}
gitlab_token gloas- [A-Za-z0-9_-]{20,}
gitlab_token gldt- [A-Za-z0-9_-]{20,}
gitlab_token glrt- [A-Za-z0-9_.-]{20,}
gitlab_token glcbt- [A-Za-z0-9_-]{20,}
gitlab_token glptt- [A-Za-z0-9_-]{20,}
gitlab_token glft- [A-Za-z0-9_-]{20,}
gitlab_token glimt- [A-Za-z0-9_-]{20,}
gitlab_token glagent- [A-Za-z0-9_-]{20,}
gitlab_token glsoat- [A-Za-z0-9_-]{20,}
gitlab_token glffct- [A-Za-z0-9_-]{20,}
gitlab_token GR1348941 [A-Za-z0-9_-]{20,}
google_key AIza [A-Za-z0-9_-]{35}
google_oauth GOCSPX- [A-Za-z0-9_-]{24,}
google_oauth ya29. [A-Za-z0-9_-]{20,}
grafana_token glc_ [A-Za-z0-9+/]{32,}={0,3}
grafana_token glsa_ [A-Za-z0-9]{32}_[A-Fa-f0-9]{8}
groq_key gsk_ [A-Za-z0-9]{40,}
harness_token pat. [A-Za-z0-9_-]{22}\\.[A-Za-z0-9]{24}\\.[A-Za-z0-9]{20}
heroku_key HRKU-AA [A-Za-z0-9_-]{30,}
hubspot_token pat-na1- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
hubspot_token pat-eu1- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
huggingface_token hf_ [A-Za-z0-9]{34,}
huggingface_token api_org_ [A-Za-z0-9]{34,}
infracost_key ico- [A-Za-z0-9]{32}
langsmith_key lsv2_pt_ [a-fA-F0-9]{32}_[a-fA-F0-9]{10}
langsmith_key lsv2_sk_ [a-fA-F0-9]{32}_[a-fA-F0-9]{10}
linear_key lin_api_ [A-Za-z0-9]{32,}
linear_key lin_oauth_ [A-Za-z0-9]{32,}
mailgun_key key- [a-fA-F0-9]{32}
mapbox_secret sk.eyJ [A-Za-z0-9_-]{40,}\\.[A-Za-z0-9_-]{20,}
netlify_token nfp_ [A-Za-z0-9]{36}
newrelic_key NRAK- [A-Z0-9]{27}
newrelic_key NRII- [A-Za-z0-9_-]{32}
newrelic_key NRJS- [a-fA-F0-9]{19}
notion_token ntn_ [A-Za-z0-9]{40,}
npm_token npm_ [A-Za-z0-9]{36}
nuget_key oy2 [a-z0-9]{43}
nvidia_key nvapi- [A-Za-z0-9_-]{60,}
onepassword_token ops_eyJ [A-Za-z0-9+/_-]{100,}={0,3}
onepassword_key A3- [A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}
openshift_token sha256~ [A-Za-z0-9_-]{43}
perplexity_key pplx- [A-Za-z0-9]{40,}
pinecone_key pcsk_ [A-Za-z0-9_]{50,}
planetscale_token pscale_tkn_ [A-Za-z0-9_.=-]{32,}
planetscale_token pscale_oauth_ [A-Za-z0-9_.=-]{32,}
planetscale_token pscale_pw_ [A-Za-z0-9_.=-]{32,}
postman_key PMAK- [a-fA-F0-9]{24}-[a-fA-F0-9]{34}
prefect_key pnu_ [a-zA-Z0-9]{36}
pulumi_token pul- [a-fA-F0-9]{40}
pypi_token pypi-AgE [A-Za-z0-9_-]{50,}
readme_key rdme_ [a-z0-9]{70}
replicate_token r8_ [A-Za-z0-9]{37,}
resend_key re_ [A-Za-z0-9]{8}_[A-Za-z0-9]{24}
rubygems_key rubygems_ [a-fA-F0-9]{48}
sendgrid_key SG. [A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{39,50}
sendinblue_key xkeysib- [a-fA-F0-9]{64}
sentry_token sntrys_eyJ [A-Za-z0-9+/=_-]{40,}
sentry_token sntryu_ [a-fA-F0-9]{64}
segment_token sgp_ [A-Za-z0-9]{64}
shippo_token shippo_ (?:live|test)_[a-fA-F0-9]{40}
shopify_token shpat_ [a-fA-F0-9]{32}
shopify_token shpca_ [a-fA-F0-9]{32}
shopify_token shppa_ [a-fA-F0-9]{32}
shopify_token shpss_ [a-fA-F0-9]{32}
slack_token xox [abcdeoprs]-[A-Za-z0-9-]{10,}
slack_token xoxe.xox [bp]-[0-9]-[A-Za-z0-9]{100,}
slack_token xapp- [0-9]-[A-Za-z0-9-]{10,}
slack_webhook hooks.slack.com/ (?:services|workflows|triggers)/[A-Za-z0-9+/]{40,90}
sourcegraph_token sgp_ (?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}
square_token sq0atp- [A-Za-z0-9_-]{22,}
square_token sq0csp- [A-Za-z0-9_-]{40,}
square_token EAAA [A-Za-z0-9_+=-]{60}
stripe_key sk_live_ [A-Za-z0-9]{10,}
stripe_key sk_test_ [A-Za-z0-9]{10,}
stripe_key sk_prod_ [A-Za-z0-9]{10,}
stripe_key rk_live_ [A-Za-z0-9]{10,}
stripe_key rk_test_ [A-Za-z0-9]{10,}
stripe_key rk_prod_ [A-Za-z0-9]{10,}
stripe_key whsec_ [A-Za-z0-9+/=]{24,}
supabase_key sbp_ [a-fA-F0-9]{40}
supabase_key sb_secret_ [A-Za-z0-9_-]{31}
tailscale_key tskey- [a-z]{2,10}-[A-Za-z0-9-]{20,}
tavily_key tvly- [A-Za-z0-9-]{28,}
twilio_key SK [a-fA-F0-9]{32}
typeform_token tfp_ [A-Za-z0-9_.-]{44,}
vault_token hvs. [A-Za-z0-9_-]{24,}
vault_token hvb. [A-Za-z0-9_-]{24,}
vault_token hvr. [A-Za-z0-9_-]{24,}
vercel_token vercel_blob_rw_ [A-Za-z0-9_]{30,}
age_key AGE-SECRET-KEY-PQ-1 [0-9A-Z]{58,}
buildkite_token bkct_ [a-fA-F0-9]{40}
circleci_token CCIPRJ_ [A-Za-z0-9]{22}_[a-fA-F0-9]{40}
dynatrace_token dt0s01. [A-Z0-9]{8,24}\\.[A-Z0-9]{64}
dynatrace_token dt0s02. [A-Z0-9]{8,24}\\.[A-Z0-9]{64}
dynatrace_token dt0s03. [A-Z0-9]{8,24}\\.[A-Z0-9]{64}
postman_key PMAT- [0-9A-Z]{26}
sourcegraph_token slk_ [a-fA-F0-9]{64}
sourcegraph_token sgd_ [a-fA-F0-9]{64}
vercel_token vcp_ [A-Za-z0-9]{56}
vercel_token vca_ [A-Za-z0-9]{56}
vercel_token vci_ [A-Za-z0-9]{56}
vercel_token vcr_ [A-Za-z0-9]{56}
vercel_token vck_ [A-Za-z0-9]{56}
xai_key xai- [A-Za-z0-9]{70,}
yandex_key AQVN [A-Za-z0-9_-]{35,38}
authress_key ext_ [A-Za-z0-9]{5,30}\\.[A-Za-z0-9]{4,6}\\.acc[_-][a-z0-9-]{10,32}\\.[A-Za-z0-9+/_=-]{30,120}
authress_key scauth_ [A-Za-z0-9]{5,30}\\.[A-Za-z0-9]{4,6}\\.acc[_-][a-z0-9-]{10,32}\\.[A-Za-z0-9+/_=-]{30,120}
aws_key A3T [A-Z0-9]{17}
aws_key da2- [a-z0-9]{26}
branch_key secret_live_ [A-Za-z0-9]{32}
cursor_key crsr_ [a-f0-9]{64}
docker_token SWMTKN-1- [a-z0-9]{40,}-[a-z0-9]{20,}
elastic_key essa_ [A-Za-z0-9+/]{40,}={0,3}
github_token v1. [a-f0-9]{40}
recaptcha_key 6L [A-Za-z0-9_-]{38}
firebase_key AAAA [A-Za-z0-9_-]{7}:[A-Za-z0-9_-]{140}
heroku_key HRKU- [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
mercadopago_token TEST- [0-9]{10,20}-[0-9]{6}-[a-f0-9]{32}-[0-9]{5,12}
npm_token NpmToken. [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
salesforce_key 5Aep861 [A-Za-z0-9._]{60,}
statsig_key console- [A-Za-z0-9]{36,}
twilio_key AC [a-f0-9]{32}
yandex_token AQAAAA [A-Za-z0-9_-]{32,33}
authress_key sc_ [A-Za-z0-9]{5,30}\\.[A-Za-z0-9]{4,6}\\.acc[_-][a-z0-9-]{10,32}\\.[A-Za-z0-9+/_=-]{30,120}
aws_key bedrock-api-key- [A-Za-z0-9+/=_-]{40,}
branch_key key_live_ [A-Za-z0-9]{32}
branch_key key_test_ [A-Za-z0-9]{32}
builder_key bpk- [a-fA-F0-9]{32}
buildkite_token bkaj_ [A-Za-z0-9_-]{40,}
clickhouse_key 4b1d [A-Za-z0-9]{38}
cockroach_key CCDB1_ [A-Za-z0-9]{22}_[A-Za-z0-9]{40}
coderabbit_key cr- [a-fA-F0-9]{58}
configcat_key configcat-sdk-1/ [A-Za-z0-9_-]{22}/[A-Za-z0-9_-]{22}
cursor_key key_ [a-fA-F0-9]{64}
databricks_token dose [a-fA-F0-9]{32}
digitalocean_key DO00 [A-Z0-9]{16}
digitalocean_key DO801 [A-Z0-9]{15}
dropbox_token sl. (?:u\\.)?[A-Za-z0-9_-]{80,}
dub_key dub_ [A-Za-z0-9]{24}
elastic_key essu_ [A-Za-z0-9+/]{40,}={0,3}
facebook_token EAA [A-Za-z0-9]{90,}
facebook_token IGQV [A-Za-z0-9_-]{80,}
flutterwave_key FLWPUBK_TEST- [A-Za-z0-9]{12,32}-X
flutterwave_key FLWPUBK- [A-Za-z0-9]{12,32}-X
flutterwave_key FLWSECK_TEST [a-h0-9]{12}
gitlab_token glrtr- [A-Za-z0-9_.-]{20,}
gitlab_token glwt- [A-Za-z0-9_.-]{20,}
gitlab_token _gitlab_session= [0-9a-z]{32}
google_key AQ. Ab[A-Za-z0-9_-]{40,}
google_oauth 1//0 [A-Za-z0-9_-]{40,}
grafana_token eyJrIjoi [A-Za-z0-9]{60,}={0,3}
harness_token sat. [A-Za-z0-9_-]{22}\\.[A-Za-z0-9]{24}\\.[A-Za-z0-9]{20}
hop_token hop_pat_ [A-Za-z0-9]{30,}
hop_token ptk_ [A-Za-z0-9+/=_-]{30,}
hubspot_token pat-ap1- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
hubspot_token pat-na2- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
iterative_token isat_ [A-Za-z0-9-]{32,}
langsmith_key ls__ [a-fA-F0-9]{32}
mailgun_key pubkey- [a-fA-F0-9]{32}
mapbox_key pk.eyJ [A-Za-z0-9_-]{40,}\\.[A-Za-z0-9_-]{20,}
mapbox_secret tk.eyJ [A-Za-z0-9_-]{40,}\\.[A-Za-z0-9_-]{20,}
mercadopago_token APP_USR- [0-9]{10,20}-[0-9]{6}-[a-fA-F0-9]{32}-[0-9]{5,12}
mergify_key mergify_application_key_ [A-Za-z0-9_-]{40,}
neon_key napi_ [a-z0-9]{50,}
netlify_token nfb_ [A-Za-z0-9]{36}
netlify_token nfc_ [A-Za-z0-9]{36}
netlify_token nfo_ [A-Za-z0-9]{36}
netlify_token nfu_ [A-Za-z0-9]{36}
newrelic_key NRAA- [a-fA-F0-9]{27}
newrelic_key NRIQ- [A-Za-z0-9_-]{32}
newrelic_key NRRA- [a-fA-F0-9]{42}
newrelic_key NRSP- [A-Za-z0-9_-]{30,}
notion_token secret_ [A-Za-z0-9]{43}
onepassword_key 1PRK- [A-Z0-9]{4}(?:-[A-Z0-9]{4}){8,12}
openai_key sess- [A-Za-z0-9]{40}
openvsx_token ovsxat_ [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
openvsx_token ovsxp_ [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
packagist_token packagist_ [a-z]{3}_[a-fA-F0-9]{60,}
posthog_key phc_ [A-Za-z0-9]{40,50}
posthog_key phx_ [A-Za-z0-9]{40,50}
posthog_key phs_ [A-Za-z0-9]{40,50}
posthog_key pha_ [A-Za-z0-9]{40,50}
posthog_key phr_ [A-Za-z0-9]{40,50}
prefect_key pnb_ [a-zA-Z0-9]{36}
pubnub_key sec-c- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
pubnub_key sub-c- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
pubnub_key pub-c- [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
salesforce_key 3MVG9 [A-Za-z0-9._]{70,}
scalingo_token tk-us- [A-Za-z0-9_-]{48}
shopify_token shptka_ [a-fA-F0-9]{32}
shopify_token shpua_ [a-fA-F0-9]{32}
shopify_token shpit_ [a-fA-F0-9]{32}
shortcut_token sct_ (?:r|rs|rw|rwa|w)_[a-z0-9-]{2,40}_[A-Za-z0-9_-]{60,}
slack_token xwfp- [0-9]{1,14}-[0-9]{1,14}-[A-Za-z0-9-]{10,}
slack_webhook hooks.slack-gov.com/ (?:services|workflows|triggers)/[A-Za-z0-9+/]{40,90}
square_token sandbox-sq0 (?:at|cs)[bp]-[A-Za-z0-9_-]{22,}
square_token sq0idp- [A-Za-z0-9_-]{22}
statsig_key secret- [A-Za-z0-9]{36,}
stripe_key sk_org_ (?:live|test)_[A-Za-z0-9]{10,}
stytch_key secret-test- [A-Za-z0-9_-]{30,}={0,2}
stytch_key secret-live- [A-Za-z0-9_-]{30,}={0,2}
supabase_key sbp_oauth_ [a-fA-F0-9]{40}
teams_webhook webhook.office.com/ webhookb2/[A-Za-z0-9@-]{36,80}/IncomingWebhook/[A-Za-z0-9/-]{60,120}
teams_webhook outlook.office.com/ webhook/[A-Za-z0-9@-]{36,80}/IncomingWebhook/[A-Za-z0-9/-]{60,120}
together_key tgp_v1_ [A-Za-z0-9_-]{43}
tolgee_key tgpat_ [a-z0-9]{40,}
tolgee_key tgpak_ [a-z0-9]{40,}
vault_legacy_token s. [A-Za-z0-9]{24}
vault_token b.AAAAAQ [A-Za-z0-9_-]{100,}
voyage_key pa- [A-Za-z0-9_-]{43}
voyage_key al- [A-Za-z0-9_-]{43}
wandb_key wandb_v1_ [A-Za-z0-9_]{60,}
yandex_key YCA [A-Za-z0-9_-]{22}
yandex_key YCM [A-Za-z0-9_-]{37}
yandex_key YCN [A-Za-z0-9_-]{37}
yandex_key YCO [A-Za-z0-9_-]{37}
yandex_key YCP [A-Za-z0-9_-]{37}
yandex_token t1. [A-Za-z0-9_-]{20,}={0,2}\\.[A-Za-z0-9_-]{86}={0,2}
yandex_token y0_ [A-Za-z0-9_-]{40,}
zapier_webhook hooks.zapier.com/ hooks/catch/[0-9]{5,10}/[A-Za-z0-9]{5,}
zuplo_key zpka_ [a-fA-F0-9]{32}_[a-fA-F0-9]{8}
discord_webhook discord.com/api/webhooks/ [0-9]{15,20}/[A-Za-z0-9_-]{60,}
discord_webhook discordapp.com/api/webhooks/ [0-9]{15,20}/[A-Za-z0-9_-]{60,}
elevenlabs_key sk_ [a-fA-F0-9]{48}
openai_key sk- [A-Za-z0-9_-]{20,}
"""
"""Kind, the prefix as it is written, and what follows it; of two prefixes that fit, the earlier line names the kind."""


def _rows() -> Iterator[tuple[str, bytes, bytes]]:
    for line in _TABLE.strip().splitlines():
        kind, prefix, rest = line.split(" ", 2)
        yield kind, prefix.encode(), rest.encode()


_ROWS = tuple(_rows())
# The boundary belongs to the expression: were it checked after the match, a long run could be matched again and again.
_TRIGGER = (
    rb"(?:\b|_)(?:" + b"|".join(re.escape(prefix) + rest for _, prefix, rest in _ROWS) + rb")|\$aact_[\w:=$-]{40}"
)
_LOOK = expression(_TRIGGER)
_BEGIN = 2
_BY_BEGIN: dict[bytes, list[tuple[str, bytes, Any]]] = {}
for _kind, _prefix, _rest in _ROWS:
    _entry = (_kind, _prefix, re.compile(re.escape(_prefix) + _rest))
    _BY_BEGIN.setdefault(_prefix[:_BEGIN], []).append(_entry)
_UNDERSCORE = ord("_")


def _find(data: bytes) -> Iterator[Found]:
    position = 0
    while place := _LOOK.search(data, position):
        start = place.start()
        end, kind = _token_at(data, start)
        if not end and data[start] == _UNDERSCORE:
            start += 1
            end, kind = _token_at(data, start)
        if kind:
            yield start, end, kind
        position = end or start + 1


def _token_at(data: bytes, start: int) -> tuple[int, str]:
    """Where the token that begins here ends, and its kind; no kind: up to there it is none."""
    for kind, prefix, exact in _BY_BEGIN.get(data[start : start + _BEGIN], ()):
        if data.startswith(prefix, start) and (match := exact.match(data, start)):
            end = match.end()
            if kind in _CLOSED and data[end : end + 1].isalnum():
                continue
            plain = kind in _MIXED and not _is_mixed(match[0][len(prefix) :])
            plain = plain or (kind in _LIKE_BASE64 and (_ZEROS in match[0] or data[start - 1 : start] in (b"+", b"/")))
            return end, "" if plain or (kind == "openai_key" and not _is_key(match[0][3:])) else kind
    return 0, ""


_CLOSED = frozenset({
    "aws_key", "npm_token", "twilio_key", "mailgun_key", "cargo_token", "nuget_key", "easypost_key", "branch_key",
    "clickhouse_key", "digitalocean_key", "databricks_token", "cursor_key", "dub_key", "voyage_key", "yandex_key",
    "notion_token", "vault_legacy_token", "recaptcha_key", "yandex_token", "square_token",
})  # fmt: skip
"""Kinds of a fixed length and a short prefix: a longer run of letters is something else."""


_MIXED = frozenset({
    "vault_legacy_token", "voyage_key", "notion_token", "dropbox_token", "recaptcha_key", "yandex_token",
})  # fmt: skip
"""Kinds with a prefix that words have, too: they hold capitals and digits."""
_LIKE_BASE64, _ZEROS = frozenset({"facebook_token", "square_token", "yandex_token"}), b"AAAAAA"
"""Kinds that what is written in base64 looks like where it has zeros or crosses a sign."""


def _is_mixed(rest: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in rest) and any(65 <= byte <= 90 for byte in rest)


def _is_key(rest: bytes) -> bool:
    # sk-some-words-with-dashes is a name; a key is one run, or has digits.
    return b"-" not in rest or any(48 <= byte <= 57 for byte in rest)


PROVIDER_TOKENS = Detector(tuple(dict.fromkeys(kind for kind, _, _ in _ROWS)), "secret", _TRIGGER, _find)
