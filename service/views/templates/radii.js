// Keeps the page fresh while it is about something that is still going on. The page of a job follows its events, the list
// looks every two seconds; so does the page of a job whose events cannot be had. A page that nobody sees does neither: a
// browser has six connections to a service, and each stream takes one.
const PAUSE = 2000;
const APART = 1000;
const EVENTS = ["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired", "progress"];
const main = () => document.querySelector("main");
let stream = null;
let timer = null;
let last = 0;

const load = async () => {
  timer = null;
  last = Date.now();
  let seen = false;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("main");
    seen = answer.ok && next !== null;
    if (seen) main().replaceWith(next);
  } catch {
    // The service is away; the next look may find it.
  }
  if (stream === null) follow();
  else if (!seen) soon(PAUSE); // the event that asked for this may have been the last one
  else if (main().dataset.active !== "yes") stop();
};

const soon = (pause) => {
  if (timer === null) timer = setTimeout(load, Math.max(0, pause));
};

const stop = () => {
  clearTimeout(timer);
  timer = null;
  if (stream) stream.close();
  stream = null;
};

const follow = () => {
  if (document.hidden || main().dataset.active !== "yes") return;
  const events = main().dataset.events;
  if (!events) {
    soon(PAUSE);
    return;
  }
  const opened = new EventSource(events);
  stream = opened;
  for (const type of EVENTS) opened.addEventListener(type, () => soon(last + APART - Date.now()));
  opened.addEventListener("error", () => {
    if (opened !== stream || opened.readyState !== EventSource.CLOSED) return;
    stream = null;
    soon(PAUSE);
  });
};

document.addEventListener("visibilitychange", () => {
  stop();
  if (!document.hidden && main().dataset.active === "yes") load();
});
follow();
