// A click on an example sends its number.
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-number]');
  if (button) trigger('select', { number: Number(button.dataset.number) });
});
