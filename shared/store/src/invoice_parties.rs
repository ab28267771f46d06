//! Whom an invoice is from and to, in its item.

use domain::{
    customer::Sealed,
    invoice_parties::{Buyer, InvoiceParties, Seller},
};

use crate::{
    customer::{address_from, address_item},
    error::StoreError,
    item::{Item, Reader},
};

pub(crate) fn parties_item(InvoiceParties { seller, buyer, zone }: &InvoiceParties) -> Item {
    let seller = Item::default()
        .text("name", &seller.name)
        .optional("email", seller.email.as_deref())
        .map("address", address_item(&seller.address))
        .optional("tax_id", seller.tax_id.as_deref())
        .optional("notes", seller.notes.as_deref());
    let buyer = Item::default()
        .text("name", &buyer.name)
        .optional("email", buyer.email.as_deref())
        .map("address", address_item(&buyer.address))
        .optional("tax_id", buyer.tax_id.as_ref().map(|sealed| &sealed.0));
    Item::default().map("seller", seller).map("buyer", buyer).text("time_zone", zone.name())
}

pub(crate) fn parties_from(parties: Reader<'_>) -> Result<InvoiceParties, StoreError> {
    let (seller, buyer) = (parties.map("seller")?, parties.map("buyer")?);
    Ok(InvoiceParties {
        seller: Seller {
            name: seller.text("name")?.to_owned(),
            email: seller.owned("email")?,
            address: address_from(seller.map("address")?)?,
            tax_id: seller.owned("tax_id")?,
            notes: seller.owned("notes")?,
        },
        buyer: Buyer {
            name: buyer.text("name")?.to_owned(),
            email: buyer.owned("email")?,
            address: address_from(buyer.map("address")?)?,
            tax_id: buyer.owned("tax_id")?.map(Sealed),
        },
        zone: parties.parse("time_zone")?,
    })
}
