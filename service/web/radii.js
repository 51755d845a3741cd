// Keeps the page fresh while it is about something that is still going on.
const fresh = async () => {
  const main = document.querySelector("main");
  if (main.dataset.active !== "yes") return;
  try {
    if (!document.hidden) {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("main");
      if (answer.ok && next) main.replaceWith(next);
    }
  } catch {
    // The service is away; the next look may find it.
  }
  setTimeout(fresh, 2000);
};
setTimeout(fresh, 2000);
