"""Keys that say nothing of themselves, told by the name of the service that stands before them.

Many services issue keys that are only letters and digits. What is said to be `deepgram`, or `algolia admin`, and looks
drawn at random, is one; names of which the value is shown anywhere, such as ids, hosts and commits, are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found

# No services that keep code, to whose names commits are assigned, and none whose name is a common word.
_SERVICES = """
abuseipdb adafruit adyen agora ahrefs ai21 airbrake airtable aiven akamai alchemy algolia alibaba aliyun amplitude
anthropic anypoint apify apollo artifactory asana assemblyai atlassian auth0 authress aweber azure baseten bitrise
blynk braintree brevo bugsnag buildkite bunny calendly cerebras chargebee checkr circleci clarifai clearbit clickhouse
clickup clockify cloudconvert cloudflare cloudinary codacy cohere coinbase coingecko confluence contentful convertkit
coveralls crowdin customerio cypress databento databricks datadog deepai deepgram deepl deepseek devcycle digitalocean
disqus droneci dropbox dynatrace easypost elastic elasticsearch elevenlabs etherscan etsy eventbrite figma finicity
finnhub fireworks flagsmith flutterwave foursquare freshbooks freshdesk fullstory geoapify gitter gladia gocardless
grafana groq gumroad helpscout heroku honeycomb hubspot imagekit infura intercom ipdata ipstack jfrog jira jotform
jumpcloud klaviyo kraken kucoin langfuse launchdarkly lemonsqueezy linode listennotes logdna loggly logrocket lokalise
mailchimp mailerlite mailgun mailjet mandrill mapbox mapquest mattermost maxmind messagebird mistral mixpanel moralis
netlify newrelic newsapi nexmo ngrok notion nvidia nytimes okta ollama onesignal openai opencage openrouter
openweather openweathermap opsgenie optimizely pagerduty paypal paystack perplexity pexels pinecone pingdom pipedrive
planetscale postman postmark pulumi qualtrics quandl quicknode rapidapi razorpay recaptcha recurly rollbar runpod
saucelabs scraperapi scrapingbee sendbird sendgrid sendinblue serpapi shippo shodan shopify shutterstock skybiometry
slack snyk sonarcloud sonarqube sourcegraph sparkpost splunk spotify storyblok strava stripe sumologic supabase
surveymonkey tableau tailscale tavily telegram telnyx tencent tiingo tmdb todoist travisci trello twilio twitch
twitter typeform unleash unsplash uptimerobot vercel virustotal vonage voyage vultr wakatime wandb weatherapi wistia
wordnik yandex yelp zapier zendesk zerobounce zhipu zoho zoominfo
"""
_NAMES = b"|".join(sorted((name.encode() for name in _SERVICES.split()), key=len, reverse=True))
_BETWEEN = (
    rb"[\w.\-]{0,28}(?: (?:access|account|admin|api|app|auth|client|credentials?|env|environment|integration|key|master"
    rb"|password|pat|personal|private|production|sdk|secret|server|service|token|user|[0-9])){0,3}"
)
_ASSIGNS = rb"""["'`\]\\]{0,3}[ \t]{0,8}(?::=|=>|={1,3}|:)[ \t]{0,8}[\\"'`]{0,3}"""
_VALUE = rb"[A-Za-z0-9_+/.~-][A-Za-z0-9_+/=.~-]{15,199}"
_NAMED = rb"(?i:(?:\b|_)(?:" + _NAMES + rb")" + _BETWEEN + rb")"
_TRIGGER = _NAMED + _ASSIGNS + _VALUE
_LOOK = expression(_TRIGGER)
_EXACT = re.compile(rb"(?P<name>" + _NAMED + rb")" + _ASSIGNS + rb"(?P<value>" + _VALUE + rb")")
_SHOWN = re.compile(
    rb"(?i)(?:id|ids|sha\d*|commit|digest|hash|ref|rev|etag|checksum|md5|version|url|uri|host|region|account|user|username|name"
    rb"|org|project|team|model|bucket|image|tag|branch|path|file|dir|endpoint|domain|public|slug|release|build|trace|request"
    rb"|deployment|zone|dataset|index|database|cursor|page)\Z"
)
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[1-6][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def service_keys(is_random: Callable[[bytes], bool]) -> Detector:
    """A detector of what is assigned to the name of a service and is random by `is_random`."""

    def find(data: bytes) -> Iterator[Found]:
        for place in _LOOK.finditer(data):
            match = _EXACT.match(data, place.start())
            if match is None or _SHOWN.search(match["name"]) or data[match.end() : match.end() + 1] in (b"(", b"@"):
                continue
            if is_random(match["value"]) or _UUID.fullmatch(match["value"]):
                yield *match.span("value"), "service_key"

    return Detector(("service_key",), "secret", _TRIGGER, find)
