-- A mass message may go by e-mail. Programs of before read every other channel as they did; until the last of them is
-- gone nobody sets SHEQUN_MAIL_FROM, without which none is accepted.
alter table broadcast
  drop constraint broadcast_channel_check,
  add constraint broadcast_channel_check check (channel in ('inbox', 'webhook', 'email'));
