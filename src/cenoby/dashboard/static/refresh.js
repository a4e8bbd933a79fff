// Shows the newest state every ten seconds, without a reload that would lose what somebody is typing.
"use strict";

const busy = () =>
  document.hidden || [...document.querySelectorAll("#live input:not([type=hidden])")].some(
    (field) => field.value !== "" || field === document.activeElement,
  );

async function refresh() {
  if (busy()) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (fresh && !busy()) document.getElementById("live").replaceWith(document.adoptNode(fresh));
  } catch {
    // The colony is away for a moment; the next round tries again.
  }
}

setInterval(refresh, 10000);
document.addEventListener("visibilitychange", refresh);
